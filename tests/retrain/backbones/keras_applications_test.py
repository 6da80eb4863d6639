"""Keras's networks become backbones that compute what Keras computes, or one line says why not."""

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import engines, freeze, keras_applications, keras_architectures, registry
from retrain.config import BackboneOptions
from retrain.errors import UserError
from tests.support import keras_weights_files as files
from tests.support.file_server import serving

_NAME = "mobilenet_0.25_128"
_LOADED_AGAIN = """
import sys
from pathlib import Path
from retrain.backbones import registry
from retrain.config import BackboneOptions

registry.resolve(BackboneOptions(sys.argv[1], Path(sys.argv[2])), Path(sys.argv[3]))
print([name for name in ("tensorflow", "keras", "h5py") if name in sys.modules])
"""


class FeaturesTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.rng = np.random.default_rng(0)

    def check(self, name, path, model, preprocess):
        """Compares a backbone with what Keras gives for the same images."""
        backbone = registry.resolve(BackboneOptions(name, path), self.folder / "cache")
        images = self.rng.integers(0, 256, (3, backbone.height, backbone.width, 3), np.uint8)
        expected = model.predict(preprocess(images.astype(np.float32)), verbose=0)
        self.assertEqual(expected.shape, (3, backbone.feature_width))
        self.assertGreater(expected.std(0).mean(), 1e-3)
        most = 2e-3 * np.abs(expected).max()
        for engine in (engines.FLOAT32, engines.TENSORFLOW):
            found = engines.engine(engine, backbone).load().features(images)
            np.testing.assert_allclose(found, expected, rtol=0, atol=most, err_msg=engine)
        return backbone

    def test_a_mobilenet_of_the_originals_computes_what_keras_computes(self):
        from tensorflow import keras

        model = files.network(_NAME)
        path = files.write_old(self.folder / "a.h5", model)
        preprocess = keras.applications.mobilenet.preprocess_input
        backbone = self.check(f"{_NAME}_quantized", path, model, preprocess)
        self.assertEqual(backbone.name, _NAME)
        network = keras.models.load_model(backbone.keras_file)
        noise = np.random.default_rng(1).normal(size=(2, 128, 128, 3)).astype(np.float32)
        np.testing.assert_allclose(network(noise), model(noise), atol=1e-5)

    def test_a_network_with_preprocessing_inside_computes_what_keras_computes(self):
        from tensorflow import keras

        ours = files.network("mobilenet_v3_small")
        path = files.write_new(self.folder / "b.weights.h5", ours)
        theirs = keras.applications.MobileNetV3Small(
            weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3)
        )
        theirs.set_weights(ours.get_weights())
        self.check(
            "mobilenet_v3_small",
            path,
            theirs,
            keras.applications.mobilenet_v3.preprocess_input,
        )

    def test_convolutions_of_one_channel_each_are_depthwise_ones(self):
        row = keras_architectures.ARCHITECTURES["convnext_tiny"]
        small = dataclasses.replace(row, side=64)
        with mock.patch.dict(keras_architectures.ARCHITECTURES, convnext_tiny=small):
            model = files.network("convnext_tiny")
            path = files.write_new(self.folder / "c.weights.h5", model)
            found = keras_applications.load_model("convnext_tiny", path)
        noise = self.rng.normal(size=(2, 64, 64, 3)).astype(np.float32)
        expected = model(noise).numpy()
        self.assertGreater(expected.std(0).mean(), 1e-3)
        np.testing.assert_allclose(found(noise), expected, atol=1e-3)
        # Functions in the graph, which Keras would make, are not for all programs.
        graph = freeze.to_graph(found, row.scaling.mean, row.scaling.std)
        self.assertEmpty(graph.library.function)
        self.assertIn("DepthwiseConv2dNative", {node.op for node in graph.node})

    def test_networks_with_swish_can_be_saved_again(self):
        import tensorflow as tf

        pixels = tf.keras.Input((8, 8, 3))
        network = tf.keras.Model(
            pixels, tf.keras.layers.GlobalAveragePooling2D()(tf.keras.activations.silu(pixels))
        )
        graph = freeze.to_graph(network, (0.0,) * 3, (1.0,) * 3)
        self.assertNotIn("_gradient_op_type", {name for n in graph.node for name in n.attr})

    @parameterized.parameters(_NAME, "mobilenet_v3_small")
    def test_weights_with_the_classes_of_imagenet_give_the_features_in_front_of_them(self, name):
        complete = files.network(name, include_top=True)
        path = files.write_new(self.folder / f"{name}.weights.h5", complete)
        plain = files.network(name, seed=1)
        plain.set_weights(complete.get_weights()[: len(plain.weights)])
        found = keras_applications.load_model(name, path)
        noise = self.rng.normal(size=(2, *plain.input_shape[1:])).astype(np.float32)
        np.testing.assert_allclose(found(noise), plain(noise), atol=1e-5)


class KeptTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.weights = files.write_old(cls.folder / "weights.h5", files.network(_NAME))
        cls.cache = cls.folder / "cache"

    def load(self, weights=None, name=_NAME):
        return registry.resolve(BackboneOptions(name, weights or self.weights), self.cache)

    def test_a_kept_one_is_found_without_tensorflow(self):
        self.load()
        found = subprocess.run(
            [sys.executable, "-c", _LOADED_AGAIN, _NAME, self.weights, self.cache],
            capture_output=True,
            text=True,
        )
        self.assertEqual(found.stdout, "[]\n", found.stderr)

    def test_the_same_weights_elsewhere_are_the_same_backbone(self):
        copy = self.folder / "copy.h5"
        copy.write_bytes(self.weights.read_bytes())
        self.assertEqual(self.load(), self.load(copy))

    def test_other_weights_are_another_backbone(self):
        other = files.write_old(self.folder / "other.h5", files.network(_NAME, seed=1))
        self.assertNotEqual(self.load().fingerprint, self.load(other).fingerprint)
        self.assertNotEqual(self.load().graph_file, self.load(other).graph_file)

    def test_another_size_is_another_backbone(self):
        larger = self.load(name="mobilenet_0.25_160")
        self.assertNotEqual(self.load().fingerprint, larger.fingerprint)
        self.assertEqual((larger.height, larger.width), (160, 160))

    @parameterized.parameters("graph_file", "flatbuffer_file", "keras_file")
    def test_a_damaged_one_is_made_anew(self, attribute):
        backbone = self.load()
        file = getattr(backbone, attribute)
        whole = file.stat().st_size
        for damage in (lambda: file.write_bytes(file.read_bytes()[:1000]), file.unlink):
            damage()
            self.assertEqual(self.load(), backbone)
            self.assertEqual(file.stat().st_size, whole)


class PublishedWeightsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = Path(tempfile.mkdtemp())
        path = files.write_old(folder / "weights.h5", files.network(_NAME))
        cls.content = path.read_bytes()

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.enter_context(mock.patch.dict("os.environ", KERAS_HOME=str(self.folder / "keras")))
        self.application = keras_architectures.ARCHITECTURES[_NAME]
        self.kept = self.folder / "keras" / "models" / self.application.file

    def load(self, name=_NAME):
        return registry.resolve(BackboneOptions(name), self.folder / "cache")

    def test_weights_that_keras_kept_are_taken(self):
        self.kept.parent.mkdir(parents=True)
        self.kept.write_bytes(self.content)
        with mock.patch.object(keras_architectures, "SITE", "http://127.0.0.1:1"):
            self.assertEqual(self.load().name, _NAME)

    def test_weights_are_downloaded_once_to_where_keras_keeps_them(self):
        with serving({f"/{self.application.weights}": self.content}) as server:
            with mock.patch.object(keras_architectures, "SITE", server.url):
                first, second = self.load(), self.load()
            self.assertLen(server.asked, 1)
        self.assertEqual(first, second)
        self.assertEqual(self.kept.read_bytes(), self.content)

    def test_without_network_one_line_says_what_to_put_where(self):
        with (
            mock.patch.object(keras_architectures, "SITE", "http://127.0.0.1:1"),
            self.assertRaises(UserError) as caught,
        ):
            self.load()
        message = str(caught.exception)
        self.assertNotIn("\n", message)
        for part in (
            f"--architecture={_NAME}",
            "Connection refused",
            f"http://127.0.0.1:1/{self.application.weights}",
            str(self.kept),
            "--weights",
            "efficientnet_lite0 needs no download",
        ):
            self.assertIn(part, message)
        self.assertEmpty(list(self.kept.parent.iterdir()))

    def test_damaged_weights_are_not_used(self):
        application = dataclasses.replace(self.application, digest="0" * 32)
        with (
            serving({f"/{self.application.weights}": self.content}) as server,
            mock.patch.object(keras_architectures, "SITE", server.url),
            mock.patch.dict(keras_architectures.ARCHITECTURES, {_NAME: application}),
            self.assertRaisesRegex(UserError, "has not the digest"),
        ):
            self.load()
        self.assertFalse(self.kept.exists())

    def test_a_folder_that_cannot_be_written_is_told(self):
        (self.folder / "keras").write_text("a file")
        with self.assertRaisesRegex(UserError, "KERAS_HOME"):
            self.load()


class BadInputTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def refused(self, reason, name, weights=None):
        options = BackboneOptions(name, weights)
        with self.assertRaisesRegex(UserError, reason) as caught:
            registry.resolve(options, self.folder / "cache")
        self.assertNotIn("\n", str(caught.exception))
        self.assertEmpty(list(self.folder.glob("cache/backbones/*")))

    def test_weights_of_another_network_are_told_with_both_names(self):
        path = files.write_old(self.folder / "w.h5", files.network("mobilenet_v3_small"))
        self.refused(
            "has the weights of mobilenet_v3_small, not those of --architecture=mobilenet_v2",
            *("mobilenet_v2", path),
        )

    def test_weights_of_an_unknown_network_are_told(self):
        from tensorflow import keras

        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        path = files.write_new(self.folder / "w.weights.h5", model)
        self.refused(f"--weights={path} does not fit --architecture={_NAME}", _NAME, path)

    def test_other_files_are_told(self):
        path = self.folder / "w.h5"
        self.refused(f"--weights={path} cannot be read: No such file", _NAME, path)
        path.write_text("text")
        self.refused(f"--weights={path} is not a file of weights", _NAME, path)

    def test_the_network_that_comes_with_the_program_has_its_weights(self):
        self.refused("leave one out", "efficientnet_lite0", Path("/tmp/w.h5"))

    @parameterized.parameters("vgg99", "mobilenet_1.0_225", "mobilenet_1.0_224_int8", "")
    def test_unknown_names_are_answered_with_the_known_ones(self, name):
        self.refused(f"--architecture={name} is not known.*inception_v3.*mobilenet_<1.0", name)


if __name__ == "__main__":
    absltest.main()

"""Keras networks become backbones with the same features, or a one-line error says why not."""

import dataclasses
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import (
    backbone_cache,
    engines,
    freeze,
    keras_applications,
    keras_architectures,
    registry,
)
from retrain.config import BackboneOptions
from retrain.errors import UserError
from tests.support import keras_weights_files as files
from tests.support.file_server import serving
from tests.support.python_code import run_python

_NAME = "mobilenet_0.25_128"
_LOAD_FROM_CACHE = """
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

    def load_and_compare(self, name, path, model, preprocess):
        """Compares the features of a backbone with those of a Keras model for the same images."""
        backbone = registry.resolve(BackboneOptions(name, path), self.folder / "cache")
        images = self.rng.integers(0, 256, (3, backbone.height, backbone.width, 3), np.uint8)
        expected = model.predict(preprocess(images.astype(np.float32)), verbose=0)
        self.assertEqual(expected.shape, (3, backbone.feature_width))
        self.assertGreater(expected.std(0).mean(), 1e-3)
        tolerance = 2e-3 * np.abs(expected).max()
        for engine in (engines.FLOAT32, engines.TENSORFLOW):
            actual = engines.create(engine, backbone).load().run(images)
            np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance, err_msg=engine)
        return backbone

    def test_a_mobilenet_computes_the_features_of_keras(self):
        from tensorflow import keras

        model = files.build_model(_NAME)
        path = files.write_legacy_weights(self.folder / "a.h5", model)
        preprocess = keras.applications.mobilenet.preprocess_input
        backbone = self.load_and_compare(f"{_NAME}_quantized", path, model, preprocess)
        self.assertEqual(backbone.name, _NAME)
        loaded = keras.models.load_model(backbone.keras_file)
        noise = np.random.default_rng(1).normal(size=(2, 128, 128, 3)).astype(np.float32)
        np.testing.assert_allclose(loaded(noise), model(noise), atol=1e-5)

    def test_a_network_with_built_in_preprocessing_computes_the_features_of_keras(self):
        from tensorflow import keras

        ours = files.build_model("mobilenet_v3_small")
        path = files.write_weights(self.folder / "b.weights.h5", ours)
        theirs = keras.applications.MobileNetV3Small(
            weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3)
        )
        theirs.set_weights(ours.get_weights())
        self.load_and_compare(
            "mobilenet_v3_small",
            path,
            theirs,
            keras.applications.mobilenet_v3.preprocess_input,
        )

    def test_convolutions_with_one_channel_in_each_group_become_depthwise(self):
        row = keras_architectures.ARCHITECTURES["convnext_tiny"]
        small = dataclasses.replace(row, image_size=64)
        with mock.patch.dict(keras_architectures.ARCHITECTURES, convnext_tiny=small):
            model = files.build_model("convnext_tiny")
            path = files.write_weights(self.folder / "c.weights.h5", model)
            loaded = keras_applications.load_model("convnext_tiny", path, 64)
        noise = self.rng.normal(size=(2, 64, 64, 3)).astype(np.float32)
        expected = model(noise).numpy()
        self.assertGreater(expected.std(0).mean(), 1e-3)
        np.testing.assert_allclose(loaded(noise), expected, atol=1e-3)
        # Keras would add functions to the graph, which other programs cannot read.
        graph = freeze.to_graph(loaded, row.normalisation.mean, row.normalisation.std)
        self.assertEmpty(graph.library.function)
        self.assertIn("DepthwiseConv2dNative", {node.op for node in graph.node})

    @parameterized.parameters(_NAME, "mobilenet_v3_small")
    def test_weights_with_the_top_layers_result_in_the_same_features(self, name):
        model_with_top = files.build_model(name, include_top=True)
        path = files.write_weights(self.folder / f"{name}.weights.h5", model_with_top)
        model = files.build_model(name, seed=1)
        model.set_weights(model_with_top.get_weights()[: len(model.weights)])
        loaded = keras_applications.load_model(name, path, model.input_shape[1])
        noise = self.rng.normal(size=(2, *model.input_shape[1:])).astype(np.float32)
        np.testing.assert_allclose(loaded(noise), model(noise), atol=1e-5)


class CacheTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.weights = files.write_legacy_weights(
            cls.folder / "weights.h5", files.build_model(_NAME)
        )
        cls.cache = cls.folder / "cache"

    def load(self, weights=None, name=_NAME):
        return registry.resolve(BackboneOptions(name, weights or self.weights), self.cache)

    def test_loading_from_the_cache_does_not_import_tensorflow(self):
        self.load()
        done = run_python(_LOAD_FROM_CACHE, _NAME, self.weights, self.cache)
        self.assertEqual(done.stdout, "[]\n", done.stderr)

    def test_backbones_that_an_earlier_version_prepared_are_found(self):
        weights = self.folder / "known.h5"
        weights.write_bytes(b"known content")
        prepared = self.load()
        with mock.patch.object(
            backbone_cache, "load_or_prepare", return_value=prepared
        ) as load_or_prepare:
            self.load(weights)
        _, name, digest, _ = load_or_prepare.call_args.args
        self.assertEqual((name, digest[:16]), (_NAME, "dea9c7d5186fb90e"))

    def test_a_copy_of_the_weights_is_the_same_backbone(self):
        copy = self.folder / "copy.h5"
        copy.write_bytes(self.weights.read_bytes())
        self.assertEqual(self.load(), self.load(copy))

    def test_different_weights_are_a_different_backbone(self):
        other = files.write_legacy_weights(
            self.folder / "other.h5", files.build_model(_NAME, seed=1)
        )
        self.assertNotEqual(self.load().fingerprint, self.load(other).fingerprint)
        self.assertNotEqual(self.load().graph_file, self.load(other).graph_file)

    def test_a_different_image_size_is_a_different_backbone(self):
        larger = self.load(name="mobilenet_0.25_160")
        self.assertNotEqual(self.load().fingerprint, larger.fingerprint)
        self.assertEqual((larger.height, larger.width), (160, 160))

    def test_weights_fit_images_of_another_size(self):
        options = BackboneOptions(_NAME, self.weights, input_size=160)
        larger = registry.resolve(options, self.cache)
        self.assertNotEqual(self.load().fingerprint, larger.fingerprint)
        same = self.load(name="mobilenet_0.25_160")
        images = np.random.default_rng(0).integers(0, 256, (2, 160, 160, 3), np.uint8)
        first, second = (
            engines.create(engines.FLOAT32, backbone).load().run(images)
            for backbone in (larger, same)
        )
        np.testing.assert_allclose(first, second, atol=1e-5)

    def test_damaged_files_are_prepared_again(self):
        backbone = self.load()
        paths = [backbone.graph_file, backbone.tflite_file, backbone.keras_file]
        sizes = [path.stat().st_size for path in paths]
        paths[0].write_bytes(paths[0].read_bytes()[:1000])
        for path in paths[1:]:
            path.unlink()
        self.assertEqual(self.load(), backbone)
        for path, size in zip(paths, sizes, strict=True):
            # A .keras file also contains the time at which it was written, compressed.
            self.assertAlmostEqual(path.stat().st_size, size, delta=50)


class PublishedWeightsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = Path(tempfile.mkdtemp())
        path = files.write_legacy_weights(folder / "weights.h5", files.build_model(_NAME))
        cls.content = path.read_bytes()

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.enter_context(mock.patch.dict("os.environ", KERAS_HOME=str(self.folder / "keras")))
        self.architecture = keras_architectures.ARCHITECTURES[_NAME]
        self.file = self.folder / "keras" / "models" / self.architecture.file_name

    def load(self, name=_NAME):
        return registry.resolve(BackboneOptions(name), self.folder / "cache")

    def test_weights_in_the_cache_of_keras_are_used(self):
        self.file.parent.mkdir(parents=True)
        self.file.write_bytes(self.content)
        with mock.patch.object(keras_architectures, "SITE", "http://127.0.0.1:1"):
            self.assertEqual(self.load().name, _NAME)

    def test_weights_are_downloaded_once_to_the_cache_of_keras(self):
        with serving({f"/{self.architecture.weights}": self.content}) as server:
            with mock.patch.object(keras_architectures, "SITE", server.url):
                first, second = self.load(), self.load()
            self.assertLen(server.requests, 1)
        self.assertEqual(first, second)
        self.assertEqual(self.file.read_bytes(), self.content)

    def test_a_failed_download_tells_the_user_where_to_put_the_file(self):
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
            f"http://127.0.0.1:1/{self.architecture.weights}",
            str(self.file),
            "--weights",
            "efficientnet_lite0 needs no download",
        ):
            self.assertIn(part, message)
        self.assertEmpty(list(self.file.parent.iterdir()))

    def test_weights_with_a_wrong_digest_are_not_used(self):
        architecture = dataclasses.replace(self.architecture, digest="0" * 32)
        with (
            serving({f"/{self.architecture.weights}": self.content}) as server,
            mock.patch.object(keras_architectures, "SITE", server.url),
            mock.patch.dict(keras_architectures.ARCHITECTURES, {_NAME: architecture}),
            self.assertRaisesRegex(UserError, "does not have digest"),
        ):
            self.load()
        self.assertFalse(self.file.exists())

    def test_a_folder_that_cannot_be_written_is_reported(self):
        (self.folder / "keras").write_text("a file")
        with self.assertRaisesRegex(UserError, "KERAS_HOME"):
            self.load()


class BadInputTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def refused(self, reason, name, weights=None, input_size=None):
        options = BackboneOptions(name, weights, input_size)
        with self.assertRaisesRegex(UserError, reason) as caught:
            registry.resolve(options, self.folder / "cache")
        self.assertNotIn("\n", str(caught.exception))
        self.assertEmpty(list(self.folder.glob("cache/backbones/*")))

    def test_weights_of_another_network_are_recognised(self):
        path = files.write_legacy_weights(
            self.folder / "w.h5", files.build_model("mobilenet_v3_small")
        )
        self.refused(
            "has the weights of mobilenet_v3_small, not those of --architecture=mobilenet_v2",
            "mobilenet_v2",
            path,
        )

    def test_a_size_that_the_network_does_not_support_is_refused(self):
        architecture = keras_architectures.ARCHITECTURES["xception"]
        model = keras_applications.build_model(architecture, include_top=False)
        path = files.write_legacy_weights(self.folder / "w.h5", model)
        self.refused(
            "--input_size=40 does not fit --architecture=xception.*at least 71",
            "xception",
            path,
            input_size=40,
        )

    def test_weights_of_an_unknown_network_are_refused(self):
        from tensorflow import keras

        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        path = files.write_weights(self.folder / "w.weights.h5", model)
        self.refused(f"--weights={path} does not fit --architecture={_NAME}", _NAME, path)

    def test_files_without_weights_are_refused(self):
        path = self.folder / "w.h5"
        self.refused(f"--weights={path} cannot be read: No such file", _NAME, path)
        path.write_text("text")
        self.refused(f"--weights={path} is not a file of weights", _NAME, path)


if __name__ == "__main__":
    absltest.main()

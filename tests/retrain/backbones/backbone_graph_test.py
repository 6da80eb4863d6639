"""Tests that graphs resize images as `retrain.data.pixels` does, for each way to fit images."""

import dataclasses
import functools
import io
import os
import unittest
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.backbones import backbone_graph, efficientnet_lite0
from retrain.data import pixels
from retrain.metadata import CROP, FITS, PAD, STRETCH
from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.graph_session import GraphSession

_SIZES = [(1, 1), (1, 900), (900, 1), (3, 500), (223, 225), (640, 480), (480, 641), (2001, 700)]


def _photo(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width * height)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def _encode(image: Image.Image, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


@functools.cache
def _session(fit: str) -> GraphSession:
    backbone = dataclasses.replace(efficientnet_lite0.load(), fit=fit)
    return GraphSession(backbone_graph.load(backbone).SerializeToString())


class BackboneGraphTest(parameterized.TestCase):
    def assert_same(self, data: bytes, fit: str) -> None:
        backbone = efficientnet_lite0.load()
        normalised = _session(fit).run("Mul:0", {"DecodeJpeg/contents:0": data})
        self.assertEqual(normalised.shape, (1, 224, 224, 3))
        actual = normalised[0] * np.array(backbone.std, np.float32) + np.array(
            backbone.mean, np.float32
        )
        difference = np.abs(actual - pixels.decode(data, 224, 224, fit=fit))
        # Pillow computes in 22-bit fixed point and TensorFlow in float32. A few values are rounded
        # differently, and hardly any in both directions: sides such as 480, of which 224 are left,
        # have many values halfway between two whole numbers.
        self.assertLessEqual(difference.max(), 2.01)
        self.assertLess((difference > 1.01).mean(), 1e-3)
        self.assertLess(difference.mean(), 0.1)

    @parameterized.product(size=_SIZES, file_format=["JPEG", "PNG"], fit=[CROP, PAD])
    def test_sizes(self, size: tuple[int, int], file_format: str, fit: str):
        self.assert_same(_encode(_photo(*size), file_format), fit)

    @parameterized.product(
        orientation=list(range(1, 9)), file_format=["JPEG", "PNG"], fit=[CROP, PAD]
    )
    def test_exif_orientation(self, orientation: int, file_format: str, fit: str):
        exif = Image.Exif()
        exif[0x0112] = orientation
        self.assert_same(_encode(_photo(501, 300), file_format, exif=exif), fit)

    @parameterized.parameters(CROP, PAD)
    def test_upright_image_can_be_fed(self, fit: str):
        image = np.asarray(_photo(500, 200))
        fed = _session(fit).run("Mul:0", {"DecodeJpeg:0": image})
        decoded = _session(fit).run(
            "Mul:0", {"DecodeJpeg/contents:0": _encode(Image.fromarray(image), "PNG")}
        )
        np.testing.assert_array_equal(fed, decoded)

    @parameterized.parameters(CROP, PAD)
    def test_the_network_is_unchanged(self, fit: str):
        backbone = efficientnet_lite0.load()
        original = parse_graph(backbone.graph_file.read_bytes())
        changed = backbone_graph.load(dataclasses.replace(backbone, fit=fit))
        nodes = [
            [n for n in g.node if not n.name.startswith("preprocess/")] for g in (original, changed)
        ]
        self.assertEqual(*nodes)
        self.assertNotEqual(original, changed)

    def test_a_graph_that_stretches_is_the_file(self):
        backbone = efficientnet_lite0.load()
        self.assertEqual(
            backbone_graph.load(dataclasses.replace(backbone, fit=STRETCH)),
            parse_graph(backbone.graph_file.read_bytes()),
        )

    @unittest.skipUnless("RETRAIN_DATA" in os.environ, "RETRAIN_DATA does not name a folder")
    @parameterized.parameters(*FITS)
    def test_real_photos(self, fit: str):
        data = Path(os.environ["RETRAIN_DATA"])
        photos = sorted(data.glob("heroes/train/*/*"))[::16]
        photos += sorted(data.glob("signs/*/*"))[::80]
        photos += sorted(data.glob("cats_dogs/*/*"))[::14]
        self.assertGreater(len(photos), 60)
        for photo in photos:
            with self.subTest(photo.name):
                self.assert_same(photo.read_bytes(), fit)


if __name__ == "__main__":
    absltest.main()

"""The decoder inside the graph produces the same pixels as `retrain.data.pixels`."""

import io
import os
import unittest
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.backbones import efficientnet_lite0
from retrain.data import pixels
from retrain.runtimes.graph_session import GraphSession

_SIZES = [
    (1, 1),
    (3, 500),
    (100, 100),
    (224, 224),
    (225, 223),
    (640, 480),
    (1000, 900),
    (2000, 1800),
]


def _photo(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width * height)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noisy = smooth + rng.integers(-12, 13, smooth.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _encode(image: Image.Image, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


class GraphPixelsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.backbone = efficientnet_lite0.load()
        cls.session = GraphSession(cls.backbone.graph_file.read_bytes())

    def difference(self, data: bytes) -> np.ndarray:
        """Returns the absolute difference of each pixel, in units of 0 to 255."""
        expected = pixels.decode(data, 224, 224)
        normalised = self.session.run("Mul:0", {"DecodeJpeg/contents:0": data})
        self.assertEqual(normalised.shape, (1, 224, 224, 3))
        actual = normalised[0] * np.float32(self.backbone.std) + np.float32(self.backbone.mean)
        return np.abs(actual - expected)

    def assert_same(self, data: bytes) -> None:
        # Pillow computes in 22-bit fixed point and TensorFlow in float32, so a few values are
        # rounded differently.
        difference = self.difference(data)
        self.assertLessEqual(difference.max(), 1.01)
        self.assertLess(difference.mean(), 0.05)

    @parameterized.product(size=_SIZES, file_format=["JPEG", "PNG"])
    def test_sizes(self, size: tuple[int, int], file_format: str):
        self.assert_same(_encode(_photo(*size), file_format))

    @parameterized.product(
        orientation=list(range(10)), file_format=["JPEG", "PNG"], order=["II", "MM"]
    )
    def test_exif_orientation(self, orientation: int, file_format: str, order: str):
        exif = Image.Exif()
        exif.endian = "<" if order == "II" else ">"
        exif[0x010F] = "a camera"
        exif[0x0112] = orientation
        self.assert_same(_encode(_photo(400, 300), file_format, exif=exif.tobytes()))

    @parameterized.parameters("L", "LA", "RGBA", "P", "1", "I;16")
    def test_modes_of_png(self, mode: str):
        image = _photo(300, 200)
        if mode == "I;16":
            wide = np.asarray(image.convert("L")).astype(np.uint16) * 257
            image = Image.fromarray(wide)
        else:
            image = image.convert(mode)
        self.assert_same(_encode(image, "PNG"))

    @parameterized.parameters("L", "CMYK")
    def test_modes_of_jpeg(self, mode: str):
        data = _encode(_photo(300, 200).convert(mode), "JPEG")
        self.assertLess(self.difference(data).mean(), 0.6)

    def test_progressive_jpeg(self):
        self.assert_same(_encode(_photo(700, 700), "JPEG", progressive=True))

    def test_bmp_and_first_frame_of_gif(self):
        self.assert_same(_encode(_photo(300, 200), "BMP"))
        frames = [_photo(300, 200).quantize(), _photo(300, 201).resize((300, 200)).quantize()]
        data = _encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
        self.assert_same(data)

    @unittest.skipUnless("RETRAIN_DATA" in os.environ, "RETRAIN_DATA does not name a folder")
    def test_real_photos(self):
        data = Path(os.environ["RETRAIN_DATA"])
        heroes = sorted(data.glob("heroes/train/*/*"))[::10]
        signs = sorted(data.glob("signs/*/*"))[::40]
        self.assertGreater(len(heroes) + len(signs), 80)
        for photo in heroes + signs:
            with self.subTest(photo.name):
                self.assert_same(photo.read_bytes())


if __name__ == "__main__":
    absltest.main()

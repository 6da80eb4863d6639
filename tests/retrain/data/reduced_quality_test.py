"""Tests that copies in reduced quality are smaller, darker and compressed, and always the same."""

import hashlib
import io

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.data import pixels, reduced_quality
from retrain.metadata import FITS


def _encode(image: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def _decode(data: bytes, *, height: int = 64, width: int = 64, fit: str = "stretch") -> np.ndarray:
    digest = hashlib.sha256(data).digest()
    return reduced_quality.decode(data, digest=digest, height=height, width=width, fit=fit)


class ReducedQualityTest(parameterized.TestCase):
    def test_the_image_is_darker(self):
        for value in (100, 200, 255):
            result = _decode(_encode(np.full((80, 90, 3), value, np.uint8)))
            self.assertEqual((result.shape, result.dtype), ((64, 64, 3), np.uint8))
            self.assertBetween(result.mean() / value, 0.69, 0.91)

    def test_details_are_lost_as_if_the_image_had_half_the_size(self):
        # Columns of 2 pixels, which an image of half the size shows as columns of 1 pixel.
        stripes = np.zeros((64, 64, 3), np.uint8)
        stripes[:, np.arange(64) % 4 < 2] = 255
        data = _encode(stripes)
        plain = pixels.decode(data, 64, 64)
        self.assertLess(_decode(data).std(), 0.7 * plain.std())

    def test_a_large_image_keeps_what_the_network_sees_of_it(self):
        rows, columns = np.mgrid[0:1600, 0:1200]
        smooth = np.stack([rows // 8, columns // 6, 255 - rows // 8], axis=-1).astype(np.uint8)
        for kind in ("PNG", "JPEG"):
            data = _encode(smooth, kind)
            plain = pixels.decode(data, 64, 64).astype(float)
            result = _decode(data).astype(float)
            factor = result.mean() / plain.mean()
            self.assertBetween(factor, 0.69, 0.91)
            self.assertLess(np.abs(result - factor * plain).mean(), 8)

    def test_each_content_has_its_own_values_which_stay_the_same(self):
        image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
        data, other = _encode(image), _encode(image[::-1])
        np.testing.assert_array_equal(_decode(data), _decode(data))
        self.assertNotEqual(
            reduced_quality._random_values(hashlib.sha256(data).digest()),
            reduced_quality._random_values(hashlib.sha256(other).digest()),
        )
        # These are part of the cached features: a change needs another VERSION.
        np.testing.assert_allclose(
            reduced_quality._random_values(bytes(32)), self.values_of_version_1(), rtol=1e-12
        )

    def values_of_version_1(self) -> tuple[float, float, float]:
        self.assertEqual(reduced_quality.VERSION, 1)
        noise = hashlib.sha256(b"reduced quality" + bytes(32)).digest()
        first, second, third = (int.from_bytes(noise[i : i + 8], "big") / 2**64 for i in (0, 8, 16))
        return 0.4 + 0.2 * first, 0.7 + 0.2 * second, 30 + 20 * third

    @parameterized.parameters(*FITS)
    def test_another_aspect_ratio_is_handled_as_in_the_network(self, fit: str):
        image = np.zeros((60, 120, 3), np.uint8)
        image[:, 30:90] = 200
        data = _encode(image)
        factor = _decode(data, fit=fit).max() / 200
        difference = _decode(data, fit=fit) - factor * pixels.decode(data, 64, 64, fit=fit)
        self.assertLess(np.abs(difference).mean(), 12)

    def test_tiny_images(self):
        self.assertEqual(_decode(_encode(np.ones((1, 1, 3), np.uint8))).shape, (64, 64, 3))

    def test_files_that_are_no_images_are_refused(self):
        with self.assertRaises(pixels.UnreadableImageError):
            _decode(b"no image")


if __name__ == "__main__":
    absltest.main()

"""Tests how images of another aspect ratio are resized."""

import io

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.data import fitting, pixels
from retrain.metadata import CROP, FITS, PAD, STRETCH


def _stripes(width: int, height: int) -> Image.Image:
    """Returns an image whose left third is red, whose right third is blue and rest is white."""
    rgb = np.full((height, width, 3), 255, np.uint8)
    rgb[:, : width // 3] = (255, 0, 0)
    rgb[:, -(width // 3) :] = (0, 0, 255)
    return Image.fromarray(rgb)


def _encode(image: Image.Image, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


class ResizeToFitTest(parameterized.TestCase):
    def test_stretched_image_has_all_columns(self):
        result = fitting.resize_to_fit(_stripes(300, 100), 60, 60, fit=STRETCH)
        np.testing.assert_array_equal(result[30, 2], (255, 0, 0))
        np.testing.assert_array_equal(result[30, 57], (0, 0, 255))
        np.testing.assert_array_equal(result[2, 30], (255, 255, 255))

    def test_cropped_image_has_only_the_centre(self):
        result = fitting.resize_to_fit(_stripes(300, 100), 60, 60, fit=CROP)
        np.testing.assert_array_equal(result, np.full((60, 60, 3), 255))

    def test_padded_image_has_all_columns_and_black_bars(self):
        result = fitting.resize_to_fit(_stripes(300, 100), 60, 60, fit=PAD)
        np.testing.assert_array_equal(result[30, 2], (255, 0, 0))
        np.testing.assert_array_equal(result[30, 57], (0, 0, 255))
        np.testing.assert_array_equal(result[:20], np.zeros((20, 60, 3)))
        np.testing.assert_array_equal(result[40:], np.zeros((20, 60, 3)))
        self.assertTrue((result[20:40].max(-1) == 255).all())

    @parameterized.parameters(*FITS)
    def test_image_in_the_aspect_ratio_of_the_result_is_only_resized(self, fit):
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 300, 3), np.uint8))
        result = fitting.resize_to_fit(image, 40, 80, fit=fit)
        np.testing.assert_array_equal(result, pixels.resize(image, 40, 80))

    @parameterized.product(fit=FITS, size=[(1, 1), (1, 3000), (3000, 1), (2999, 7)])
    def test_result_always_has_the_size(self, fit, size):
        result = fitting.resize_to_fit(Image.new("RGB", size, "white"), 32, 48, fit=fit)
        self.assertEqual((result.shape, result.dtype), ((32, 48, 3), np.uint8))
        self.assertEqual(result.max(), 255)


class DecodeTest(parameterized.TestCase):
    @parameterized.product(
        fit=[CROP, PAD], file_format=["JPEG", "PNG", "WEBP", "AVIF"], size=[(300, 120), (90, 200)]
    )
    def test_files_are_fitted_in_this_process_and_in_the_separate_one(self, fit, file_format, size):
        # Pixels of a lossless WebP file are decoded in a separate process, those of a PNG here.
        options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 95}, "JPEG": {"quality": 95}}
        data = _encode(_stripes(*size), file_format, **options.get(file_format, {}))
        expected = fitting.resize_to_fit(_stripes(*size), 64, 64, fit=fit)
        actual = pixels.decode(data, 64, 64, fit=fit)
        # Lossy formats blur the borders between two colours.
        error = np.abs(actual.astype(int) - expected).mean()
        self.assertLess(error, 0.5 if file_format in ("PNG", "WEBP") else 8)

    @parameterized.parameters(CROP, PAD)
    def test_an_image_is_turned_upright_first(self, fit):
        exif = Image.Exif()
        exif[0x0112] = 6
        data = _encode(_stripes(300, 100), "PNG", exif=exif)
        upright = _stripes(300, 100).transpose(Image.Transpose.ROTATE_270)
        np.testing.assert_array_equal(
            pixels.decode(data, 60, 60, fit=fit),
            fitting.resize_to_fit(upright, 60, 60, fit=fit),
        )


class AdaptTest(parameterized.TestCase):
    def test_small_image_is_padded_without_being_resized(self):
        image = _stripes(30, 10)
        padded = np.asarray(fitting.adapt(image, 448, 448, fit=PAD))
        self.assertEqual(padded.shape, (30, 30, 3))
        np.testing.assert_array_equal(padded[10:20], np.asarray(image))
        self.assertEqual(padded[:10].max(), 0)

    def test_long_image_is_padded_within_the_maximum(self):
        self.assertEqual(fitting.adapt(_stripes(9000, 3), 60, 90, fit=PAD).size, (90, 60))

    def test_cropped_and_stretched_images_keep_their_pixels(self):
        image = _stripes(300, 100)
        self.assertIs(fitting.adapt(image, 60, 60, fit=STRETCH), image)
        self.assertEqual(fitting.adapt(image, 60, 60, fit=CROP).size, (100, 100))


if __name__ == "__main__":
    absltest.main()

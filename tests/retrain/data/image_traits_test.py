"""The traits of an image are its look and when it was taken."""

import io
from datetime import UTC, datetime

import numpy as np
from absl.testing import absltest, parameterized
from PIL import ExifTags, Image

from retrain.data import image_traits, pixels
from tests.support import natural_images


def _jpeg(image: Image.Image, *, time: str | None = None, model: str = "A1") -> bytes:
    exif = Image.Exif()
    if time is not None:
        exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Maker", model
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = time
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def _measure(data: bytes, resized: np.ndarray | None = None) -> np.ndarray:
    return image_traits.measure(data, pixels.decode_upright(data, 224, 224), resized)


class ImageTraitsTest(parameterized.TestCase):
    @parameterized.parameters((500, 375), (100, 80), (300, 100), (224, 224))
    def test_the_pixels_for_the_network_give_the_same_thumbnail(self, *size):
        data = _jpeg(natural_images.draw(1).resize(size))
        measured, shared = _measure(data), _measure(data, pixels.decode(data, 224, 224))
        np.testing.assert_array_equal(measured["thumbnail"], shared["thumbnail"])
        self.assertGreater(measured["thumbnail"].std(), 5)

    def test_the_time_and_the_camera_are_read(self):
        image = natural_images.draw(2)
        first = _measure(_jpeg(image, time="2024:05:06 07:08:09"))
        later = _measure(_jpeg(image, time="2024:05:06 07:08:11"))
        other = _measure(_jpeg(image, time="2024:05:06 07:08:09", model="B2"))
        self.assertEqual(first["captured"], datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC).timestamp())
        self.assertEqual(later["captured"] - first["captured"], 2)
        self.assertEqual(first["camera"], later["camera"])
        self.assertNotEqual(first["camera"], other["camera"])

    @parameterized.parameters(None, "", "0000:00:00 00:00:00", "yesterday", "1969:01:01 00:00:00")
    def test_an_unknown_time_is_0(self, time):
        self.assertEqual(_measure(_jpeg(natural_images.draw(3), time=time))["captured"], 0)

    def test_a_damaged_block_is_ignored(self):
        data = _jpeg(natural_images.draw(4), time="2024:05:06 07:08:09")
        start = data.index(b"Exif") + 14
        self.assertEqual(_measure(data[:start] + b"\xff" * 40 + data[start + 40 :])["captured"], 0)


if __name__ == "__main__":
    absltest.main()

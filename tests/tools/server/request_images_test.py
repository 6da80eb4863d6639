"""Tests what the thumbnails of images show."""

import base64
import io

from absl.testing import absltest, parameterized
from PIL import Image

from retrain.data.image_limits import ImageLimits
from tests.support.image_files import encode, png
from tools.server import request_images


def _thumbnail(data: bytes) -> Image.Image:
    url = request_images.thumbnail(data, ImageLimits())
    return Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))))


class ThumbnailTest(parameterized.TestCase):
    def test_transparent_pixels_are_white(self):
        shown = _thumbnail(encode(Image.new("RGBA", (40, 30), (0, 0, 0, 0)), "PNG"))
        self.assertEqual(shown.size, (40, 30))
        self.assertEqual(shown.getpixel((20, 15)), (255, 255, 255))

    @parameterized.parameters(((640, 480), (320, 240)), ((480, 640), (240, 320)))
    def test_large_images_are_shrunk(self, size, expected):
        self.assertEqual(_thumbnail(encode(Image.new("RGB", size), "PNG")).size, expected)

    @parameterized.parameters((1, 500_000), (500_000, 1))
    def test_long_and_thin_images(self, width, height):
        self.assertEqual(max(_thumbnail(png(width, height, 8, 0, b"\x55")).size), 320)


if __name__ == "__main__":
    absltest.main()

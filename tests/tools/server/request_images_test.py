"""Tests which images the server refuses before decoding, and what their thumbnails show."""

import base64
import io
import struct

from absl.testing import absltest, parameterized
from PIL import Image

from tests.support.image_files import encode, gif, png
from tools.server import request_images


def _thumbnail(data: bytes) -> Image.Image:
    url = request_images.thumbnail(data)
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


class RefusalTest(absltest.TestCase):
    def test_usual_images_are_not_refused(self):
        for file_format in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF"):
            data = encode(Image.new("RGB", (40, 30)), file_format)
            self.assertIsNone(request_images.reason_to_refuse(data, 1200))
            self.assertIn("40 x 30", request_images.reason_to_refuse(data, 1199) or "")

    def test_a_gif_with_a_frame_larger_than_its_screen(self):
        small = gif((1, 1), (0, 0, 9, 9), disposal=2)
        frame = small.index(b"\x2c", 19) + 5
        data = small[:frame] + struct.pack("<HH", 30_000, 30_000) + small[frame + 4 :]
        self.assertIn("30000 x 30000", request_images.reason_to_refuse(data, 50_000_000) or "")

    def test_an_image_with_too_many_scans(self):
        data = encode(Image.new("RGB", (40, 30)), "JPEG", progressive=True)
        scan = data.index(b"\xff\xda")
        many = data[:scan] + data[scan:-2] * 101 + data[-2:]
        self.assertIn("scans", request_images.reason_to_refuse(many, 50_000_000) or "")

    def test_damaged_images(self):
        self.assertIn("damaged", request_images.reason_to_refuse(b"\xff\xd8\xff", 1200) or "")


if __name__ == "__main__":
    absltest.main()

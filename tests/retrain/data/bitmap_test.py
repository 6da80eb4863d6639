"""Tests that bitmaps without a file header are read like the BMP file with the same content."""

import io

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.data import bitmap, pixels

_FILE_HEADER_BYTES = 14


def _bmp(mode: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, "BMP")
    return buffer.getvalue()


class BitmapTest(parameterized.TestCase):
    @parameterized.parameters("1", "L", "P", "RGB", "RGBA")
    def test_a_bitmap_without_a_file_header_is_read(self, mode):
        bmp = _bmp(mode)
        bare = bmp[_FILE_HEADER_BYTES:]
        self.assertEqual(bitmap.add_file_header(bare), bmp)
        np.testing.assert_array_equal(pixels.decode(bare, 8, 8), pixels.decode(bmp, 8, 8))

    def test_a_bitmap_with_a_core_header_is_read(self):
        core = b"\x0c\0\0\0" + b"\x02\0\x01\0" + b"\x01\0\x18\0"
        bare = core + bytes([1, 2, 3, 4, 5, 6, 0, 0]) + bytes(32)
        np.testing.assert_array_equal(pixels.decode(bare, 1, 2), [[[3, 2, 1], [6, 5, 4]]])

    @parameterized.parameters(0, 1, 11, 39, 40, 60)
    def test_a_cut_off_bitmap_is_refused(self, length):
        with self.assertRaises(pixels.UnreadableImageError):
            pixels.decode(_bmp("RGB")[_FILE_HEADER_BYTES:][:length], 8, 8)

    def test_other_data_is_no_bitmap(self):
        for data in (b"text" * 20, bytes(100), b"\x28\0\0\0" * 20, _bmp("RGB")):
            self.assertIsNone(bitmap.add_file_header(data))


if __name__ == "__main__":
    absltest.main()

"""Tests that no image file needs more memory than the limit on its pixels allows."""

import struct
import sys
import unittest
from collections.abc import Callable
from typing import Any

from absl.testing import absltest, parameterized
from PIL import Image
from pillow_heif import register_heif_opener

from retrain.data import image_header
from retrain.data.image_limits import DEFAULT_LIMITS
from tests.support import decoding_cost
from tests.support.image_files import (
    encode,
    exif_block,
    gif,
    png,
    png_chunk,
    with_jpeg_segments,
)

# Pillow can then write HEIF files, too.
register_heif_opener()

_MIB = 1 << 20
# Of the images whose memory is compared with the formula.
_WIDTH, _HEIGHT = 4000, 3000


def _lies_about_its_size(file_format: str, width: int, height: int) -> bytes:
    """Returns a file of 64 x 64 pixels whose header states another size."""
    small = Image.new("RGB", (64, 64), "red")
    if file_format == "BMP":
        data = bytearray(encode(small, "BMP"))
        data[18:26] = struct.pack("<II", width, height)
    elif file_format == "JPEG":
        data = bytearray(encode(small, "JPEG"))
        size = data.index(b"\xff\xc0") + 5
        data[size : size + 4] = struct.pack(">HH", height, width)
    elif file_format == "WEBP":
        data = bytearray(encode(small, "WEBP"))
        data[26:30] = struct.pack("<HH", width, height)
    elif file_format == "WEBP lossless":
        data = bytearray(encode(small, "WEBP", lossless=True))
        data[21:25] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    elif file_format == "WEBP extended":
        data = bytearray(encode(small, "WEBP", exif=b"Exif\0\0II*\0"))
        sides = (struct.pack("<I", side - 1)[:3] for side in (width, height))
        data[24:30] = b"".join(sides)
    else:
        data = bytearray(encode(small, file_format))
        size = data.index(b"ispe") + 8
        data[size : size + 8] = struct.pack(">II", width, height)
    return bytes(data)


def _file(file_format: str, mode: str = "RGB", **options: Any) -> Callable[[], bytes]:
    return lambda: encode(Image.new(mode, (_WIDTH, _HEIGHT)), file_format, **options)


def _png(bits: int, colour_type: int, pixel: bytes, before: bytes = b"") -> Callable[[], bytes]:
    return lambda: png(_WIDTH, _HEIGHT, bits, colour_type, pixel, before=before)


def _turned_jpeg() -> bytes:
    return with_jpeg_segments(_file("JPEG")(), (0xE1, b"Exif\0\0" + exif_block(6)))


# The variants of each format that take the most memory. The first ones take what the formula says.
_LARGEST: dict[str, Callable[[], bytes]] = {
    "JPEG, turned": _turned_jpeg,
    "JPEG, CMYK": _file("JPEG", "CMYK"),
    "JPEG, progressive CMYK": _file("JPEG", "CMYK", progressive=True, subsampling=0),
    "PNG, RGB and alpha": _file("PNG", "RGBA"),
    "PNG, 16 bits of grey": _png(16, 0, b"\x12\x34", png_chunk(b"tRNS", b"\x12\x34")),
    "BMP, alpha": _file("BMP", "RGBA"),
    "GIF, part of the screen": lambda: gif(
        (_WIDTH, _HEIGHT), (0, 0, _WIDTH - 9, _HEIGHT - 9), transparency=0
    ),
    "WebP, alpha": _file("WEBP", "RGBA", lossless=True, quality=0),
    "AVIF, alpha": _file("AVIF", "RGBA", subsampling="4:4:4", speed=10),
    "HEIC, alpha": _file("HEIF", "RGBA", chroma=444),
}
_SMALLER: dict[str, Callable[[], bytes]] = {
    "JPEG, progressive": _file("JPEG", progressive=True),
    "PNG, 16 bits of RGB": _png(16, 2, b"\x12\x34" * 3, png_chunk(b"tRNS", b"\x12\x34" * 3)),
    "PNG, palette": _png(8, 3, b"\1", png_chunk(b"PLTE", bytes(9)) + png_chunk(b"tRNS", b"\x11")),
    "WebP": _file("WEBP", method=0),
    "AVIF": _file("AVIF", speed=10),
    "HEIC": _file("HEIF"),
}


@unittest.skipUnless(sys.platform == "linux", "only Linux limits and reports memory like this")
class MemoryTest(parameterized.TestCase):
    def decode(self, data: bytes, **options: Any) -> tuple[str, float]:
        """Returns the outcome, and the growth of the peak memory in MiB."""
        cost = decoding_cost.measure(data, **options)
        return cost.outcome, cost.memory / _MIB

    @parameterized.parameters(
        ("BMP", 30_000, 30_000),
        ("JPEG", 65_000, 65_000),
        ("WEBP", 16_383, 16_383),
        ("WEBP lossless", 16_384, 16_384),
        ("WEBP extended", 1 << 24, 255),
        ("AVIF", 16_384, 16_384),
        ("HEIF", 16_384, 16_384),
    )
    def test_a_header_with_too_many_pixels_costs_nothing(self, file_format, width, height):
        outcome, growth = self.decode(_lies_about_its_size(file_format, width, height))
        self.assertEqual(
            outcome, f"it has {width} x {height} pixels, more than the maximum of 200,000,000"
        )
        self.assertLess(growth, 8)

    @parameterized.parameters(
        ((30_000, 30_000), 2, None),
        ((65_535, 65_535), 2, 0),
        ((65_535, 65_535), 3, 0),
        ((1, 1), 2, None),
        ((1, 1), 0, 0),
    )
    def test_a_gif_with_a_large_screen_or_frame_costs_nothing(self, screen, disposal, transparency):
        small = gif(screen, (0, 0, 9, 9), disposal=disposal, transparency=transparency)
        frame = small.index(b"\x2c", 19) + 5
        data = small[:frame] + struct.pack("<HH", 30_000, 30_000) + small[frame + 4 :]
        outcome, growth = self.decode(data)
        self.assertIn("more than the maximum", outcome)
        self.assertLess(growth, 8)

    def test_a_gif_is_not_read_past_its_first_frame(self):
        small = gif((9, 9), (0, 0, 9, 9))
        frame = small.index(b"\x2c", 19)
        second = bytearray(small[frame:])
        second[5:9] = struct.pack("<HH", 30_000, 30_000)
        outcome, growth = self.decode(small[:-1] + second)
        self.assertEqual(outcome, "decoded")
        self.assertLess(growth, 8)

    @parameterized.parameters((1, 2_000_000), (2_000_000, 1), (3, 1_000_000), (1_000_000, 3))
    def test_long_and_thin_images_take_memory_for_their_own_pixels_only(self, width, height):
        data = png(width, height, 8, 0, b"\x55")
        for distorted in (False, True):
            outcome, growth = self.decode(data, distorted=distorted)
            self.assertEqual(outcome, "decoded")
            # Pillow takes 4 bytes for each pixel, and 16 for each pixel of the side that shrinks.
            self.assertLess(growth, 100)

    def test_a_side_that_is_too_long_is_refused(self):
        outcome, growth = self.decode(_lies_about_its_size("BMP", 1, 20_000_000))
        self.assertRegex(outcome, "1 x 20000000 pixels, and its longer side .* 12,500,000")
        self.assertLess(growth, 8)

    @parameterized.named_parameters(
        (name, name in _LARGEST, write) for name, write in (_LARGEST | _SMALLER).items()
    )
    def test_decoding_takes_the_memory_that_the_formula_says(self, is_largest, write):
        data = write()
        # Files that are not BMP files hardly count.
        header = image_header.parse(data, DEFAULT_LIMITS)
        expected = header.cost.memory((_WIDTH, _HEIGHT), file_bytes=len(header.data))
        # A JPEG file is not reduced to less than this.
        outcome, growth = self.decode(data, height=_HEIGHT // 2 + 1, width=_HEIGHT // 2 + 1)
        self.assertEqual(outcome, "decoded")
        slack = 20
        self.assertLess(growth, expected / _MIB + slack)
        if is_largest:
            self.assertGreater(growth, 0.7 * (expected - 2 * len(data)) / _MIB)

    def test_transparent_images_take_memory_for_two_copies(self):
        outcome, growth = self.decode(png(4000, 4000, 8, 6, b"\x55\x55\x55\x7f"))
        self.assertEqual(outcome, "decoded")
        self.assertLess(growth, 2 * 4 * 16 + 40)

    @parameterized.parameters(False, True)
    def test_lack_of_memory_is_a_refusal_of_the_image(self, distorted):
        data = png(8000, 8000, 8, 2, b"\x55\x55\x55")
        outcome, _ = self.decode(data, available_bytes=100 * _MIB, distorted=distorted)
        self.assertEqual(outcome, "it needs more memory than is available")

    def test_lack_of_memory_for_the_result_is_a_refusal_of_the_image(self):
        data = png(8, 8, 8, 2, b"\x55\x55\x55")
        outcome, _ = self.decode(data, height=8000, width=8000, available_bytes=100 * _MIB)
        self.assertEqual(outcome, "it needs more memory than is available")


if __name__ == "__main__":
    absltest.main()

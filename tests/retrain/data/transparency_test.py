"""Tests that transparent pixels of every format become white."""

import struct

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image
from pillow_heif import register_heif_opener

from retrain.data import pixels
from tests.support.image_files import encode, gif, png, png_chunk

# Pillow can then write HEIF files, too.
register_heif_opener()

_WHITE = (255, 255, 255)


def _tile(pixel: tuple[int, ...], mode: str, file_format: str, **options) -> bytes:
    return encode(Image.new(mode, (16, 16), pixel), file_format, **options)


class TransparencyTest(parameterized.TestCase):
    def assert_colour(self, data: bytes, colour: tuple[int, ...], tolerance: int = 0) -> None:
        result = pixels.decode(data, 4, 4).astype(int)
        self.assertLessEqual(np.abs(result - np.array(colour)).max(), tolerance, result[0, 0])

    @parameterized.product(file_format=["PNG", "WEBP", "AVIF", "HEIF"], alpha=[0, 1, 128, 254, 255])
    def test_alpha_channel(self, file_format, alpha):
        options = {"lossless": True} if file_format == "WEBP" else {"quality": 100}
        data = _tile((200, 100, 50, alpha), "RGBA", file_format, **options)
        expected = [round((c * alpha + 255 * (255 - alpha)) / 255) for c in (200, 100, 50)]
        exact = file_format == "PNG" or (file_format == "WEBP" and alpha)
        self.assert_colour(data, tuple(expected), tolerance=0 if exact else 5)

    def test_all_alphas_of_all_values_are_rounded_to_the_nearest(self):
        value, alpha = np.meshgrid(np.arange(256), np.arange(256))
        image = Image.merge("LA", [Image.fromarray(a.astype(np.uint8)) for a in (value, alpha)])
        result = np.asarray(pixels.decode_upright(encode(image, "PNG"), 256, 256))[..., 0]
        np.testing.assert_array_equal(result, np.rint((value * alpha + 255 * (255 - alpha)) / 255))

    def test_grey_with_alpha(self):
        self.assert_colour(_tile((90, 0), "LA", "PNG"), _WHITE)
        self.assert_colour(_tile((90, 128), "LA", "PNG"), (172, 172, 172))

    def test_the_high_byte_of_16_bit_alpha_counts(self):
        self.assert_colour(png(5, 5, 16, 6, b"\x9a\0\x20\0\x40\0\0\xff"), _WHITE)
        self.assert_colour(png(5, 5, 16, 4, b"\x9a\0\x80\0"), (204, 204, 204))

    def test_palette_entries_are_transparent_by_their_alpha(self):
        palette = png_chunk(b"PLTE", bytes((1, 2, 3, 200, 100, 50, 9, 9, 9)))
        alphas = png_chunk(b"tRNS", b"\xff\x80")
        for index, colour in enumerate([(1, 2, 3), (227, 177, 152), (9, 9, 9)]):
            data = png(5, 5, 8, 3, bytes([index]), before=palette + alphas)
            self.assert_colour(data, colour)

    @parameterized.parameters((1, b"\xff", 1), (2, b"\xaa", 2), (4, b"\x77", 7), (8, b"\x77", 0x77))
    def test_one_grey_value_is_transparent(self, bits, pixel, value):
        transparent = png_chunk(b"tRNS", struct.pack(">H", value))
        other = png_chunk(b"tRNS", struct.pack(">H", 0))
        self.assert_colour(png(8, 8, bits, 0, pixel, before=transparent), _WHITE)
        grey = value * 255 // (2**bits - 1)
        self.assert_colour(png(8, 8, bits, 0, pixel, before=other), (grey, grey, grey))

    @parameterized.parameters((0, b"\x40\x01"), (2, b"\x40\x01\x50\x02\x60\x03"))
    def test_values_of_16_bits_are_compared_at_full_depth(self, colour_type, pixel):
        same, other = (png_chunk(b"tRNS", p) for p in (pixel, pixel[:-1] + b"\x7f"))
        self.assert_colour(png(8, 8, 16, colour_type, pixel, before=same), _WHITE)
        opaque = tuple(pixel[::2]) * (3 if colour_type == 0 else 1)
        self.assert_colour(png(8, 8, 16, colour_type, pixel, before=other), opaque)

    def test_one_colour_is_transparent(self):
        transparent = png_chunk(b"tRNS", bytes((0, 200, 0, 100, 0, 50)))
        self.assert_colour(png(8, 8, 8, 2, bytes((200, 100, 50)), before=transparent), _WHITE)
        self.assert_colour(
            png(8, 8, 8, 2, bytes((200, 100, 51)), before=transparent), (200, 100, 51)
        )

    def test_transparency_that_browsers_ignore(self):
        grey = png_chunk(b"tRNS", b"\0\x77")
        for case, chunks in {
            "wrong checksum": {"before": grey[:-1] + b"!"},
            "wrong length": {"before": png_chunk(b"tRNS", b"\0\x77\0")},
            "after the pixels": {"after": grey},
            "a second one": {"before": png_chunk(b"tRNS", b"\0\0") + grey},
        }.items():
            with self.subTest(case):
                self.assert_colour(png(8, 8, 8, 0, b"\x77", **chunks), (0x77, 0x77, 0x77))

    def test_transparent_gif(self):
        self.assert_colour(gif((9, 9), (0, 0, 9, 9), transparency=0), _WHITE)
        self.assert_colour(gif((9, 9), (0, 0, 9, 9), transparency=1), (255, 0, 0))

    @parameterized.product(transparency=[None, 0, 1], screen=[(40, 30), (4, 4)])
    def test_a_gif_is_white_outside_its_first_frame(self, transparency, screen):
        data = gif(screen, (10, 12, 20, 22), transparency=transparency)
        image = pixels.decode_upright(data, 1, 1)
        self.assertEqual(image.size, (max(screen[0], 20), max(screen[1], 22)))
        self.assertEqual(image.getpixel((0, 0)), _WHITE)
        inside = _WHITE if transparency == 0 else (255, 0, 0)
        self.assertEqual(image.getpixel((10, 12)), inside)
        self.assertEqual(image.getpixel((19, 21)), inside)

    @parameterized.parameters((128, (227, 177, 152)), (0, (200, 100, 50)))
    def test_alpha_of_bmp_files(self, alpha, colour):
        """A channel of zeros only is no alpha channel: many programs write it."""
        head = struct.pack(
            "<IiiHHIIiiII4I52x", 108, 4, 4, 1, 32, 3, 64, 0, 0, 0, 0,
            0xFF0000, 0xFF00, 0xFF, 0xFF000000,
        )  # fmt: skip
        data = b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(head)) + head
        self.assert_colour(data + bytes((50, 100, 200, alpha)) * 16, colour)

    def test_large_images_are_composited_in_bands(self):
        alpha = np.tile(np.arange(256, dtype=np.uint8), (8000, 1))
        image = Image.merge("LA", [Image.new("L", (256, 8000)), Image.fromarray(alpha)])
        result = np.asarray(pixels.decode_upright(encode(image, "PNG"), 1, 1))
        np.testing.assert_array_equal(result[..., 0], 255 - alpha)

    def test_classifiers_of_version_1_see_the_colours_under_transparent_pixels(self):
        palette = png_chunk(b"PLTE", bytes((200, 100, 50))) + png_chunk(b"tRNS", b"\0")
        for data in (
            _tile((200, 100, 50, 0), "RGBA", "PNG"),
            png(5, 5, 8, 3, b"\0", before=palette),
            gif((9, 9), (0, 0, 9, 9), colour=(200, 100, 50), transparency=0),
        ):
            decoded = pixels.decode(data, 1, 1, preprocessing_version=1)
            np.testing.assert_array_equal(decoded, [[(200, 100, 50)]])


if __name__ == "__main__":
    absltest.main()

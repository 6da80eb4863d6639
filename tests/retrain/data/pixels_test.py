"""Tests that images of all formats are decoded to upright RGB pixels, or refused."""

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl.testing import absltest, parameterized
from PIL import ExifTags, Image
from pillow_heif import register_heif_opener

from retrain.data import pixels

Colour = tuple[int, int, int]

# Pillow can then write HEIF files, too.
register_heif_opener()

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)

# The corners of a stored image, in reading order, that decode to RED GREEN / BLUE GREY with this
# orientation: the inverse of the table in the Exif specification (CIPA DC-008, 4.6.5).
STORED_CORNERS = {
    1: (RED, GREEN, BLUE, GREY),
    2: (GREEN, RED, GREY, BLUE),
    3: (GREY, BLUE, GREEN, RED),
    4: (BLUE, GREY, RED, GREEN),
    5: (RED, BLUE, GREEN, GREY),
    6: (GREEN, GREY, RED, BLUE),
    7: (GREY, GREEN, BLUE, RED),
    8: (BLUE, RED, GREY, GREEN),
}


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    result = Image.Exif()
    result[ExifTags.Base.Orientation] = orientation
    return result


def corners(colours: Sequence[Colour], width: int, height: int) -> Image.Image:
    block = np.array(colours, np.uint8).reshape(2, 2, 3)
    return Image.fromarray(block.repeat(height // 2, axis=0).repeat(width // 2, axis=1))


def noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png(
    width: int, height: int, bits: int, colour_type: int, samples: bytes, extra: bytes = b""
) -> bytes:
    """Returns a PNG file that repeats one pixel; Pillow cannot write all PNG formats."""
    head = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    rows = (b"\0" + samples * width) * min(height, 10)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", head),
            extra,
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        )
    )


class DecodeTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        # Users would see Pillow's warnings.
        self.enter_context(warnings.catch_warnings())
        warnings.simplefilter("error")

    def assert_colour(self, data: bytes, colour: Colour, tolerance: int = 0) -> None:
        result = pixels.decode(data, 8, 6)
        self.assertEqual((result.shape, result.dtype), ((8, 6, 3), np.uint8))
        difference = np.abs(result.astype(int) - np.array(colour))
        self.assertLessEqual(difference.max(), tolerance, result[0, 0])

    @parameterized.product(
        orientation=tuple(range(1, 9)), file_format=("JPEG", "PNG", "WEBP", "HEIF", "AVIF")
    )
    def test_applies_the_exif_orientation(self, orientation, file_format):
        width, height = (96, 64) if orientation < 5 else (64, 96)
        stored = corners(STORED_CORNERS[orientation], width, height)
        data = encoded(stored, file_format, exif=exif(orientation).tobytes(), quality=95)

        result = pixels.decode(data, 64, 96).astype(int)

        shown = [result[y, x] for y in (16, 48) for x in (24, 72)]
        np.testing.assert_allclose(shown, [RED, GREEN, BLUE, GREY], atol=20)

    @parameterized.parameters(0, 9, 65535)
    def test_ignores_an_invalid_orientation(self, orientation):
        data = encoded(corners(STORED_CORNERS[1], 8, 8), "PNG", exif=exif(orientation))
        np.testing.assert_array_equal(pixels.decode(data, 8, 8)[0, 0], RED)

    def test_ignores_a_damaged_exif_block(self):
        data = encoded(corners(STORED_CORNERS[1], 8, 8), "PNG", exif=b"Exif\0\0MM\0*\0\0\xff")
        np.testing.assert_array_equal(pixels.decode(data, 8, 8)[0, 0], RED)

    @parameterized.parameters("PNG", "BMP", "GIF")
    def test_keeps_exact_colours_of_lossless_files(self, file_format):
        self.assert_colour(
            encoded(Image.new("RGB", (9, 7), (200, 100, 50)), file_format), (200, 100, 50)
        )

    @parameterized.parameters(True, False)
    def test_webp_file(self, lossless):
        data = encoded(Image.new("RGB", (9, 7), (200, 100, 50)), "WEBP", lossless=lossless)
        self.assert_colour(data, (200, 100, 50), tolerance=0 if lossless else 8)

    def test_greyscale_jpeg(self):
        self.assert_colour(encoded(Image.new("L", (9, 7), 90), "JPEG"), (90, 90, 90), tolerance=1)

    def test_cmyk_jpeg(self):
        data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
        self.assert_colour(data, RED, tolerance=3)

    def test_16_bit_grey_keeps_the_high_byte(self):
        self.assert_colour(png(9, 7, 16, 0, b"\x9a\xff"), (0x9A, 0x9A, 0x9A))

    def test_16_bit_colour_keeps_the_high_bytes(self):
        self.assert_colour(png(9, 7, 16, 2, b"\x9a\xff\x20\0\x40\x80"), (0x9A, 0x20, 0x40))

    def test_16_bit_colour_with_alpha(self):
        self.assert_colour(png(9, 7, 16, 6, b"\x9a\xff\x20\0\x40\x80\xff\0"), (0x9A, 0x20, 0x40))

    def test_16_bit_grey_with_alpha(self):
        self.assert_colour(png(9, 7, 16, 4, b"\x9a\xff\xff\0"), (0x9A, 0x9A, 0x9A))

    def test_black_and_white_file(self):
        self.assert_colour(encoded(Image.new("1", (9, 7), 1), "PNG"), (255, 255, 255))

    def test_palette_file(self):
        palette = chunk(b"PLTE", bytes((1, 2, 3, 200, 100, 50)))
        self.assert_colour(png(9, 7, 8, 3, b"\1", palette), (200, 100, 50))

    def test_animated_gif_decodes_to_its_first_frame(self):
        frames = [Image.new("RGB", (9, 7), colour) for colour in (RED, GREEN)]
        self.assert_colour(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), RED)

    def test_animated_webp_decodes_to_its_first_frame(self):
        frames = [Image.new("RGB", (9, 7), colour) for colour in (RED, GREEN)]
        data = encoded(
            frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True, duration=50
        )
        self.assert_colour(data, RED)

    def test_jpeg_with_several_images_decodes_to_the_first(self):
        frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN)]
        data = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
        self.assert_colour(data, RED, tolerance=3)

    @parameterized.parameters((1, 1), (1, 3000), (3000, 1), (20000, 2))
    def test_images_of_any_shape(self, width, height):
        for file_format in ("PNG", "JPEG"):
            data = encoded(Image.new("RGB", (width, height), GREY), file_format)
            self.assert_colour(data, GREY, tolerance=1)

    def test_shrinking_averages_over_all_pixels(self):
        stripes = np.zeros((64, 64, 3), np.uint8)
        stripes[:, ::2] = 255
        result = pixels.decode(encoded(Image.fromarray(stripes), "PNG"), 8, 8).astype(int)
        np.testing.assert_allclose(result, 127, atol=6)

    @parameterized.parameters((300, 200), (200, 300), (20, 30), (20, 300), (300, 20), (8, 8))
    def test_the_first_pass_is_horizontal_unless_the_image_is_narrower_and_higher(
        self, width, height
    ):
        image = noise(width, height)
        columns_first = width < 32 and height > 48
        between = (width, 48) if columns_first else (32, height)
        bilinear = Image.Resampling.BILINEAR
        expected = image.resize(between, bilinear).resize((32, 48), bilinear)
        np.testing.assert_array_equal(pixels.resize(image, 48, 32), np.asarray(expected))

    @parameterized.parameters((300, 200), (20, 300), (300, 20))
    def test_a_part_of_an_image_is_resized_as_from_the_whole_image(self, width, height):
        image = noise(width, height)
        box = (0.2 * width, 0.3 * height, 0.7 * width, 0.9 * height)
        expected = image.resize((32, 48), Image.Resampling.BILINEAR, box)
        difference = pixels.resize(image, 48, 32, box=box) - np.asarray(expected).astype(int)
        self.assertLessEqual(np.abs(difference).max(), 1)

    def test_the_result_is_deterministic(self):
        data = encoded(noise(300, 200), "JPEG")
        np.testing.assert_array_equal(pixels.decode(data, 32, 32), pixels.decode(data, 32, 32))

    @parameterized.product(
        # For 40 x 30 pixels: just large enough for each scale, and one pixel too small for it.
        size=[
            (320, 240), (319, 240), (320, 239), (160, 120), (159, 120), (80, 60), (80, 59),
            (40, 30), (39, 30), (2000, 60),
        ],
        orientation=[1, 6],
    )  # fmt: skip
    def test_jpeg_is_decoded_at_the_smallest_scale_that_is_large_enough(self, size, orientation):
        width, height = size
        scale = max(s for s in (1, 2, 4, 8) if s == 1 or (width >= 40 * s and height >= 30 * s))
        stored = noise(width, height)
        if orientation == 6:
            stored = stored.transpose(Image.Transpose.ROTATE_90)
        data = encoded(stored, "JPEG", exif=exif(orientation))
        # Pillow decodes at exactly 1/scale if this size is requested.
        scaled: Image.Image = Image.open(io.BytesIO(data))
        scaled.draft(None, (stored.width // scale, stored.height // scale))
        self.assertEqual(scaled.size, (-(-stored.width // scale), -(-stored.height // scale)))
        if orientation == 6:
            scaled = scaled.transpose(Image.Transpose.ROTATE_270)
        expected = scaled.resize((40, 30), Image.Resampling.BILINEAR)

        np.testing.assert_array_equal(pixels.decode(data, 30, 40), np.asarray(expected))


class RefusalTest(parameterized.TestCase):
    def assert_refused(self, data: bytes, reason: str) -> None:
        with self.assertRaisesRegex(pixels.UnreadableImageError, reason):
            pixels.decode(data, 32, 32)

    def test_empty_file(self):
        self.assert_refused(b"", "it is an empty file")

    @parameterized.parameters(
        b"A letter to my aunt", b"\0" * 1000, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"%PDF-1.4"
    )
    def test_data_that_is_not_an_image(self, data):
        self.assert_refused(data, "it is not a JPEG, PNG, BMP, .* file|it is damaged")

    def test_unsupported_image_formats(self):
        for file_format in ("TIFF", "ICO", "PPM"):
            self.assert_refused(encoded(noise(32, 32), file_format), "it is not a JPEG, PNG")

    @parameterized.parameters("JPEG", "PNG", "WEBP", "BMP", "HEIF", "AVIF")
    def test_truncated_file(self, file_format):
        data = encoded(noise(64, 64), file_format)
        self.assert_refused(data[: len(data) // 2], "it is damaged|its header is damaged")

    @parameterized.parameters("JPEG", "PNG", "BMP", "GIF", "WEBP", "HEIF", "AVIF")
    def test_damaged_files_raise_no_other_exception(self, file_format):
        data = encoded(noise(24, 24), file_format)
        rng = np.random.default_rng(0)
        for _ in range(300):
            damaged = bytearray(data)
            for place in rng.integers(0, len(data), 4):
                damaged[place] = rng.integers(256)
            damaged = damaged[: rng.integers(1, len(data))]
            try:
                self.assertEqual(pixels.decode(bytes(damaged), 8, 8).shape, (8, 8, 3))
            except pixels.UnreadableImageError as error:
                self.assertNotIn("\n", str(error))

    def test_too_many_pixels_are_refused_before_decoding(self):
        # The file has no data for these pixels, so decoding it would fail for another reason.
        self.assert_refused(
            png(50_000, 50_000, 1, 0, b"\0"),
            "it has 50000 x 50000 pixels, more than the maximum of 200,000,000",
        )

    def test_too_many_pixels_in_a_jpeg(self):
        data = bytearray(encoded(noise(16, 16), "JPEG"))
        head = data.index(b"\xff\xc0") + 5  # After the marker, its length and the sample size.
        data[head : head + 4] = struct.pack(">HH", 50_000, 60_000)
        self.assert_refused(bytes(data), "it has 60000 x 50000 pixels")

    def test_the_content_determines_the_format(self):
        data = encoded(Image.new("RGB", (9, 7), RED), "PNG")
        np.testing.assert_array_equal(pixels.decode(data, 1, 1), [[RED]])


if __name__ == "__main__":
    absltest.main()

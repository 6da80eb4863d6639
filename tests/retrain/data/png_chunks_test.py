"""Tests that damage in chunks that the pixels do not need does not matter, as in browsers."""

import struct
import zlib

import numpy as np
from absl.testing import absltest, parameterized

from retrain.data import pixels
from tests.support.image_files import png, png_chunk

_GREY = (0x55, 0x55, 0x55)
_SIDE_CHUNKS = (
    b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"bKGD", b"tIME",
    b"sBIT", b"hIST", b"sPLT", b"eXIf", b"acTL", b"fcTL", b"cICP", b"prVt",
)  # fmt: skip


def _wrong_checksum(chunk: bytes) -> bytes:
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


class SideChunksTest(parameterized.TestCase):
    def assert_read(self, data: bytes) -> None:
        result = pixels.decode(data, 2, 2)
        np.testing.assert_array_equal(result, np.full((2, 2, 3), _GREY))

    @parameterized.product(kind=_SIDE_CHUNKS, place=["before", "after"])
    def test_wrong_checksums_and_contents(self, kind, place):
        for content in (b"", b"\0", b"x\0\0not compressed", bytes(100)):
            for chunk in (png_chunk(kind, content), _wrong_checksum(png_chunk(kind, content))):
                self.assert_read(png(8, 8, 8, 0, b"\x55", **{place: chunk}))

    @parameterized.parameters("before", "after")
    def test_text_that_unpacks_to_a_lot(self, place):
        packed = zlib.compress(bytes(80_000_000), 9)
        for chunk in (
            png_chunk(b"zTXt", b"a\0\0" + packed),
            png_chunk(b"iTXt", b"a\0\1\0\0\0" + packed),
            png_chunk(b"iCCP", b"a\0\0" + packed),
        ):
            self.assert_read(png(8, 8, 8, 0, b"\x55", **{place: chunk}))

    def test_many_large_chunks(self):
        text = png_chunk(b"tEXt", b"a\0" + b"b" * 2_000_000) * 40
        self.assert_read(png(8, 8, 8, 0, b"\x55", before=text))

    def test_a_chunk_after_the_pixels_is_cut_off(self):
        data = png(8, 8, 8, 0, b"\x55", after=png_chunk(b"tEXt", bytes(100)))
        self.assert_read(data[:-60])
        self.assert_read(png(8, 8, 8, 0, b"\x55")[:-12])  # There is no IEND.

    def test_bytes_after_the_end(self):
        self.assert_read(png(8, 8, 8, 0, b"\x55") + b"PK\3\4" + bytes(1000))

    def test_a_palette_of_a_file_without_palette_colours(self):
        for palette in (b"", bytes(3 * 300), b"\1\2"):
            self.assert_read(png(8, 8, 8, 2, b"\x55" * 3, before=png_chunk(b"PLTE", palette)))

    def test_damage_that_the_pixels_do_not_survive_is_refused(self):
        whole = png(8, 8, 8, 0, b"\x55")
        header_end = 8 + 25
        for damaged in (
            whole[: header_end - 1] + b"!" + whole[header_end:],
            whole[:header_end],
            whole[:header_end] + png_chunk(b"IDAT", b"not compressed"),
        ):
            with self.assertRaisesRegex(pixels.UnreadableImageError, "damaged"):
                pixels.decode(damaged, 2, 2)


class WideGreyTest(parameterized.TestCase):
    def decode(self, value: int, before: bytes = b"") -> tuple[int, list[str]]:
        warnings: list[str] = []
        data = png(8, 8, 16, 0, struct.pack(">H", value), before=before)
        result = pixels.decode(data, 2, 2, warn=warnings.append)
        self.assertEqual(result.min(), result.max())
        return int(result[0, 0, 0]), warnings

    @parameterized.parameters((12, 4095, 255), (12, 2048, 128), (10, 1023, 255), (4, 15, 240))
    def test_values_are_scaled_by_the_number_of_significant_bits(self, bits, value, expected):
        self.assertEqual(self.decode(value, png_chunk(b"sBIT", bytes([bits]))), (expected, []))

    @parameterized.parameters((b"\x0c", 0x9A00, 0x9A), (b"\x10", 0x9A00, 0x9A), (b"", 0x9A00, 0x9A))
    def test_values_that_use_all_bits_keep_their_high_byte(self, significant, value, expected):
        self.assertEqual(self.decode(value, png_chunk(b"sBIT", significant)), (expected, []))

    def test_warns_if_the_image_is_nearly_black(self):
        grey, (warning,) = self.decode(4095)
        self.assertEqual(grey, 15)
        self.assertIn(
            "nearly black, because its greyscale values of 16 bits are at most 4095", warning
        )

    @parameterized.parameters(0, 4096, 65535)
    def test_does_not_warn_of_black_and_of_bright_images(self, value):
        self.assertEqual(self.decode(value), (value >> 8, []))

    def test_classifiers_of_version_1_see_the_high_byte(self):
        data = png(8, 8, 16, 0, b"\x0f\xff", before=png_chunk(b"sBIT", b"\x0c"))
        self.assertEqual(pixels.decode(data, 1, 1, preprocessing_version=1).max(), 15)


if __name__ == "__main__":
    absltest.main()

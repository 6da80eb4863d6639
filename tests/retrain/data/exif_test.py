"""Tests that the Exif orientation is read by the rule of browsers, wherever programs write it."""

import struct

from absl.testing import absltest, parameterized
from PIL import Image

from retrain.data import pixels
from tests.support.image_files import encode, exif_block, png, png_chunk, with_jpeg_segments

_EXIF = b"Exif\0\0"
_LONG = 4
_APP1, _APP2, _COMMENT = 0xE1, 0xE2, 0xFE
_SIZE, _TURNED = (64, 48), (48, 64)
_JPEG = encode(Image.new("RGB", _SIZE, "red"), "JPEG")
_XMP = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'


def _jpeg(*blocks: bytes) -> bytes:
    return with_jpeg_segments(_JPEG, *((_APP1, _EXIF + block) for block in blocks))


def _png(before: bytes = b"", after: bytes = b"") -> bytes:
    return png(*_SIZE, 8, 0, b"\x55", before=before, after=after)


def _entry(orientation: int) -> bytes:
    return struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)


class OrientationTest(parameterized.TestCase):
    """The cases agree with Chromium 156, except that it ignores Exif blocks in WebP files."""

    def size(self, data: bytes) -> tuple[int, int]:
        return pixels.decode_upright(data, *_SIZE[::-1]).size

    @parameterized.named_parameters(
        ("little_endian", _jpeg(exif_block(6))),
        ("big_endian", _jpeg(exif_block(6, order="MM"))),
        ("a_table_at_another_place", _jpeg(exif_block(6, first_entry=20))),
        ("nothing_after_the_table", _jpeg(exif_block(6)[:-4])),
        ("the_first_of_two_blocks", _jpeg(exif_block(6), exif_block(1))),
        ("the_first_of_two_entries", _jpeg(b"II*\0\x08\0\0\0\2\0" + _entry(6) + _entry(1))),
        ("after_xmp", with_jpeg_segments(_JPEG, (_APP1, _XMP), (_APP1, _EXIF + exif_block(6)))),
        (
            "after_long_segments",
            with_jpeg_segments(
                _JPEG, *[(_COMMENT, bytes(65_000))] * 6, (_APP1, _EXIF + exif_block(6))
            ),
        ),
        ("any_byte_after_the_name", with_jpeg_segments(_JPEG, (_APP1, b"Exif\0!" + exif_block(6)))),
        ("png", _png(png_chunk(b"eXIf", exif_block(6)))),
        ("webp", encode(Image.new("RGB", _SIZE), "WEBP", exif=_EXIF + exif_block(6))),
        ("webp_without_a_prefix", encode(Image.new("RGB", _SIZE), "WEBP", exif=exif_block(6))),
        ("avif", encode(Image.new("RGB", _SIZE), "AVIF", exif=_EXIF + exif_block(6))),
    )
    def test_turns_the_image(self, data):
        self.assertEqual(self.size(data), _TURNED)

    @parameterized.named_parameters(
        ("a_long_number", _jpeg(exif_block(6, kind=_LONG))),
        ("a_long_big_endian_number", _jpeg(exif_block(6, order="MM", kind=_LONG))),
        ("two_numbers", _jpeg(exif_block(6, count=2))),
        ("no_number", _jpeg(exif_block(6, count=0))),
        ("a_value_without_meaning", _jpeg(exif_block(9))),
        ("no_tiff_header", _jpeg(b"II+\0" + exif_block(6)[4:])),
        ("a_table_beyond_the_block", _jpeg(exif_block(6)[:8] + b"\x20\0" + exif_block(6)[10:])),
        ("a_table_cut_off", _jpeg(exif_block(6)[:-6])),
        ("a_damaged_block_before_a_good_one", _jpeg(b"xxxxxxxx", exif_block(6))),
        ("an_empty_block_before_a_good_one", _jpeg(b"", exif_block(6))),
        ("the_second_of_two_blocks", _jpeg(exif_block(1), exif_block(6))),
        ("the_second_of_two_entries", _jpeg(b"II*\0\x08\0\0\0\2\0" + _entry(1) + _entry(6))),
        ("another_segment", with_jpeg_segments(_JPEG, (_APP2, _EXIF + exif_block(6)))),
        ("inside_a_segment", with_jpeg_segments(_JPEG, (_APP1, b"abc" + _EXIF + exif_block(6)))),
        ("inside_a_comment", with_jpeg_segments(_JPEG, (_COMMENT, _EXIF + exif_block(6)))),
        ("xmp", with_jpeg_segments(_JPEG, (_APP1, _XMP))),
        ("png_after_the_pixels", _png(after=png_chunk(b"eXIf", exif_block(6)))),
        ("png_with_a_wrong_checksum", _png(png_chunk(b"eXIf", exif_block(6))[:-1] + b"!")),
        ("png_with_a_prefix", _png(png_chunk(b"eXIf", _EXIF + exif_block(6)))),
        ("png_text_with_the_name", _png(png_chunk(b"tEXt", b"Comment\0eXIf" + exif_block(6)))),
        (
            "png_raw_profile_of_imagemagick",
            _png(
                png_chunk(
                    b"tEXt",
                    b"Raw profile type exif\0\nexif\n      32\n"
                    + (_EXIF + exif_block(6)).hex().encode(),
                )
            ),
        ),
        (
            "the_second_block_of_a_png",
            _png(png_chunk(b"eXIf", exif_block(1)) + png_chunk(b"eXIf", exif_block(6))),
        ),
    )
    def test_does_not_turn_the_image(self, data):
        self.assertEqual(self.size(data), _SIZE)


if __name__ == "__main__":
    absltest.main()

"""Tests that the names of image formats tell apart what decoders read differently."""

import io

from absl.testing import absltest
from PIL import Image

from retrain.export.image_variant import name_variant


def _encode(mode: str, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((20, 18), 90).convert(mode).save(file, file_format, **options)
    return file.getvalue()


def _change(data: bytes, position: int, value: int, *, length: int = 1) -> bytes:
    replacement = value.to_bytes(length, "little", signed=value < 0)
    return data[:position] + replacement + data[position + length :]


_FILES = [
    (_encode("RGB", "JPEG"), "JPEG"),
    (_encode("CMYK", "JPEG"), "JPEG with CMYK colours"),
    (_encode("RGB", "PNG"), "PNG"),
    (_encode("RGBA", "PNG"), "PNG with transparency"),
    (_encode("I;16", "PNG"), "PNG with 16 bits"),
    (_encode("RGB", "BMP"), "BMP"),
    (_encode("P", "BMP"), "BMP with a palette"),
    (_change(_encode("RGB", "BMP"), 22, -18, length=4), "BMP with lines from top to bottom"),
    (_change(_encode("P", "BMP"), 30, 1), "BMP with a palette, run-length encoding"),
    (_encode("P", "GIF", interlace=0), "GIF"),
    (_encode("P", "GIF", interlace=1), "GIF with interlaced lines"),
    (_encode("P", "GIF", interlace=0, transparency=0), "GIF with transparency"),
    (
        _change(_encode("P", "GIF", interlace=0), 6, 30),
        "GIF with a first frame smaller than the screen",
    ),
    (b"not an image", "other files"),
]


class NameVariantTest(absltest.TestCase):
    def test_names_tell_what_decoders_read_differently(self):
        for data, name in _FILES:
            with self.subTest(name):
                self.assertEqual(name_variant(data), name)


if __name__ == "__main__":
    absltest.main()

"""Tests that files that cannot be decoded are named for what they are."""

import io

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.data import pixels
from tests.support.image_files import encode

_IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
_JPEG = encode(_IMAGE, "JPEG")


def _jpeg_with_frame(marker: int, bits: int = 8) -> bytes:
    """Returns a JPEG file whose header states another kind of compression."""
    start = _JPEG.index(b"\xff\xc0")
    return (
        _JPEG[: start + 1]
        + bytes([marker])
        + _JPEG[start + 2 : start + 4]
        + bytes([bits])
        + (_JPEG[start + 5 :])
    )


class UnreadableFormatsTest(parameterized.TestCase):
    def assert_refused(self, data: bytes, reason: str) -> None:
        with self.assertRaisesRegex(pixels.UnreadableImageError, reason):
            pixels.decode(data, 8, 8)

    @parameterized.named_parameters(
        ("tiff", encode(_IMAGE, "TIFF"), "a TIFF file"),
        ("jpeg_2000", encode(_IMAGE, "JPEG2000"), "a JPEG 2000 file"),
        ("jpeg_2000_without_boxes", encode(_IMAGE, "JPEG2000", no_jp2=True), "a JPEG 2000 file"),
        ("jpeg_xl", b"\xff\x0a" + bytes(50), "a JPEG XL file"),
        ("icon", encode(_IMAGE, "ICO"), "an icon"),
        ("netpbm", encode(_IMAGE, "PPM"), "a Netpbm file"),
        ("pdf", encode(_IMAGE, "PDF"), "a PDF file"),
        ("photoshop", b"8BPS" + bytes(50), "a Photoshop file"),
        ("svg", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG file"),
        ("html", b"<!DOCTYPE html>\n<html></html>", "an HTML page"),
        ("video", b"\0\0\0\x18ftypmp42" + bytes(50), "a video"),
    )
    def test_names_the_format(self, data, name):
        self.assert_refused(
            data, f"^it is not a JPEG, PNG, BMP, GIF, WebP, HEIC or AVIF file but {name}"
        )

    @parameterized.parameters(
        (0xC1, 12, "a JPEG file with 12 bits per sample"),
        (0xC9, 8, "a JPEG file with arithmetic coding"),
        (0xCA, 8, "a JPEG file with arithmetic coding"),
        (0xC3, 8, "a lossless JPEG file"),
        (0xC3, 16, "a lossless JPEG file"),
    )
    def test_names_the_kind_of_jpeg(self, marker, bits, name):
        data = _jpeg_with_frame(marker, bits)
        try:
            # Pillow's own library can read some of them.
            Image.open(io.BytesIO(data)).load()
        except (OSError, SyntaxError):
            self.assert_refused(data, f"^it is {name}, which cannot be decoded; save it as")
        else:
            self.assertEqual(pixels.decode(data, 8, 8).shape, (8, 8, 3))

    def test_other_files(self):
        self.assert_refused(b"A letter to my aunt", "AVIF file, or its header is damaged$")


if __name__ == "__main__":
    absltest.main()

"""Tests that damaged files of all formats are decoded or refused, and nothing else happens."""

import contextlib
import random
import struct
import warnings
import zlib
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image
from pillow_heif import register_heif_opener

from retrain.data import distortions, pixels, upright
from retrain.data.image_limits import ImageLimits
from retrain.training_options import DistortionOptions
from tests.support.image_files import encode, exif_block, gif, png, png_chunk, with_jpeg_segments

# Pillow can then write HEIF files, too.
register_heif_opener()

_MUTATIONS = 2000
_SEED = 13
# A damaged header of a small file can state a large size, which takes long to decode.
_LIMITS = ImageLimits(pixels=1_000_000)
_INTERESTING = (b"\0", b"\xff", b"\x7f\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x80", b"\1")


def _image(mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (24, 32, 4), np.uint8)
    return Image.fromarray(values).convert(mode)


def _samples() -> dict[str, bytes]:
    """Returns small files of all formats and of their usual variants."""
    frames = {"save_all": True, "append_images": [_image()], "duration": 50}
    exif = exif_block(6)
    wide = b"\x12\x34" * 3
    jpeg = encode(_image(), "JPEG")
    palette = png_chunk(b"PLTE", bytes(range(48))) + png_chunk(b"tRNS", bytes(16))
    return {
        "JPEG": with_jpeg_segments(jpeg, (0xE1, b"Exif\0\0" + exif)),
        "JPEG progressive": encode(_image("L"), "JPEG", progressive=True),
        "JPEG CMYK": encode(_image("CMYK"), "JPEG"),
        "JPEG of several images": encode(_image(), "MPO", **frames),
        "PNG": encode(_image("RGBA"), "PNG", exif=exif),
        "PNG 16 bits": png(9, 7, 16, 2, wide, before=png_chunk(b"tRNS", wide)),
        "PNG grey": png(9, 7, 16, 0, b"\1\2", before=png_chunk(b"sBIT", b"\x0c")),
        "PNG palette": png(9, 7, 8, 3, b"\3", before=palette),
        "PNG animated": encode(_image("P"), "PNG", **frames),
        "BMP": encode(_image(), "BMP"),
        "BMP palette": encode(_image("P"), "BMP"),
        "BMP RLE": _rle_bmp(),
        "GIF": gif((32, 24), (3, 4, 20, 20), transparency=0, disposal=2),
        "GIF animated": encode(_image("P"), "GIF", **frames),
        "WEBP": encode(_image(), "WEBP", exif=exif),
        "WEBP lossless": encode(_image("RGBA"), "WEBP", lossless=True),
        "WEBP animated": encode(_image(), "WEBP", **frames),
        "AVIF": encode(_image("RGBA"), "AVIF", exif=b"Exif\0\0" + exif, speed=10),
        "AVIF animated": encode(_image(), "AVIF", speed=10, **frames),
        "HEIF": encode(_image("RGBA"), "HEIF", exif=b"Exif\0\0" + exif),
    }


def _rle_bmp() -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, 8, 4, 1, 8, 1, 0, 0, 0, 2, 2)
    rows = b"\x08\1\0\0" * 4 + b"\0\1"
    palette = bytes((1, 2, 3, 0, 200, 100, 50, 0))
    offset = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, offset) + head + palette + rows


def _mutate(data: bytes, rng: random.Random) -> bytes:
    """Returns the file with a few damages of the kinds that disks, networks and people do."""
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        # Most of the decisions that a decoder takes depend on the first bytes.
        place = rng.randrange(min(len(damaged), rng.choice((64, 600, len(damaged)))) or 1)
        match rng.randrange(6):
            case 0:
                damaged[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                value = rng.choice(_INTERESTING)
                damaged[place : place + len(value)] = value
            case 2:
                del damaged[place : place + rng.randint(1, 40)]
            case 3:
                damaged[place:place] = damaged[place : place + rng.randint(1, 40)]
            case 4:
                damaged[place:] = damaged[place : rng.randint(place, len(damaged))]
            case 5:
                damaged[place : place + 4] = struct.pack(">I", rng.randrange(2**16))
    if damaged[1:4] == b"PNG" and rng.random() < 0.7:
        return _with_checksums(bytes(damaged))
    return bytes(damaged)


def _with_checksums(png_file: bytes) -> bytes:
    """Corrects the checksums of a PNG file, so that decoders look at the damage behind them."""
    result, position = bytearray(png_file), 8
    while position + 12 <= len(result):
        end = position + 8 + int.from_bytes(result[position : position + 4], "big")
        if end + 4 > len(result):
            break
        result[end : end + 4] = struct.pack(">I", zlib.crc32(result[position + 4 : end]))
        position = end + 4
    return bytes(result)


class FuzzTest(parameterized.TestCase):
    def test_damaged_files_are_decoded_or_refused_in_one_line(self):
        samples = _samples()
        rng = random.Random(_SEED)
        names = list(samples)
        options = DistortionOptions(random_crop=10, random_brightness=10)
        refused = dict.fromkeys(names, 0)
        for number in range(_MUTATIONS):
            name = names[number % len(names)]
            data = _mutate(samples[name], rng)
            try:
                if number % 3:
                    result = pixels.decode(data, 8, 9, limits=_LIMITS)
                else:
                    variants = distortions.decode_variants(
                        data, [1], options, digest=b"", height=8, width=9, limits=_LIMITS
                    )
                    (result,) = variants
                self.assertEqual((result.shape, result.dtype), ((8, 9, 3), np.uint8))
            except pixels.UnreadableImageError as error:
                refused[name] += 1
                self.assertRegex(str(error), r"\Ait [^\n]+\Z")
            except Exception as error:
                raise AssertionError(f"mutation {number} of {name} raised {error!r}") from error
        # Both outcomes occur, so the mutations are neither harmless nor hopeless.
        self.assertBetween(sum(refused.values()), _MUTATIONS // 10, _MUTATIONS * 9 // 10)

    @parameterized.parameters(
        ZeroDivisionError, AssertionError, RecursionError, KeyError, TypeError, NotImplementedError
    )
    def test_whatever_a_decoder_raises_is_damage(self, kind):
        with (
            mock.patch.object(Image, "open", side_effect=kind("division\nby zero")),
            self.assertRaisesRegex(pixels.UnreadableImageError, "it is damaged .*division"),
        ):
            pixels.decode(_samples()["PNG"], 4, 4)

    def test_an_avif_file_with_a_time_scale_of_zero_is_damaged(self):
        data = bytearray(_samples()["AVIF animated"])
        media_header = data.index(b"mdhd") + 4
        scale = media_header + (20 if data[media_header] == 1 else 12)
        data[scale : scale + 4] = bytes(4)
        with self.assertRaisesRegex(pixels.UnreadableImageError, "it is damaged"):
            pixels.decode(bytes(data), 4, 4)

    def test_no_warning_of_a_library_is_printed(self):
        with warnings.catch_warnings(record=True) as caught:
            # As in a program that nobody configured.
            warnings.resetwarnings()
            upright.ignore_library_warnings()
            rng = random.Random(_SEED)
            for data in _samples().values():
                for _ in range(10):
                    with contextlib.suppress(pixels.UnreadableImageError):
                        pixels.decode(_mutate(data, rng), 4, 4, limits=_LIMITS)
            self.assertEqual([str(warning.message) for warning in caught], [])


if __name__ == "__main__":
    absltest.main()

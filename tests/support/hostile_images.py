"""Writes small image files that would take gigabytes or minutes without a budget."""

import struct
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from PIL import Image
from pillow_heif import register_heif_opener

from tests.support.hostile_heic import heic_grid
from tests.support.hostile_webp import lossless_webp_with_many_codes
from tests.support.image_files import encode, exif_block, gif, png, png_chunk, with_jpeg_segments

# Pillow can then write HEIF files, too.
register_heif_opener()

_SMALL = Image.new("RGB", (64, 48), "red")
_START_OF_SCAN, _TABLES = b"\xff\xda", b"\xff\xc4"
_APP1, _APP2, _COMMENT, _QUANTISATION = 0xE1, 0xE2, 0xFE, 0xDB


def _segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def _jpeg(**options: Any) -> bytes:
    return encode(_SMALL, "JPEG", **options)


def jpeg_with_many_scans(count: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """Returns a progressive JPEG file that repeats its last scan."""
    data = encode(Image.new("RGB", size, "red"), "JPEG", progressive=True, subsampling=0)
    last_scan = data[data.rindex(_TABLES, 0, data.rindex(_START_OF_SCAN)) : -2]
    return data[:-2] + last_scan * (count - data.count(_START_OF_SCAN)) + data[-2:]


def jpeg_with_hidden_scans(count: int) -> bytes:
    """Returns a file with a comment that looks like the end of the image between its scans."""
    data = jpeg_with_many_scans(count)
    first = data.index(_START_OF_SCAN)
    second = data.index(_TABLES, first)
    return data[:second] + _segment(_COMMENT, b"\xff\xd9") + data[second:]


def jpeg_with_cut_exif(count: int, before: bytes = b"") -> bytes:
    """Returns a file with an Exif block in many segments."""
    data = _jpeg()
    return data[:2] + before + _segment(_APP1, b"Exif\0\0x") * count + data[2:]


def jpeg_with_many_tables(head_bytes: int) -> bytes:
    """Returns a file that repeats its quantisation table, in full segments."""
    data = _jpeg()
    table = b"\0" + bytes(range(1, 65))
    segment = _segment(_QUANTISATION, table * (65_000 // len(table)))
    return data[:2] + segment * (head_bytes // len(segment) + 1) + data[2:]


def jpeg_with_many_frames(count: int) -> bytes:
    """Returns a file that repeats its frame header."""
    data = _jpeg()
    start = data.index(b"\xff\xc0")
    end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return data[:start] + data[start:end] * count + data[start:]


def jpeg_with_metadata() -> bytes:
    """Returns a file with all metadata that the format allows, which is harmless: 20 MB."""
    profile = [(_APP2, b"ICC_PROFILE\0" + bytes((n, 255)) + bytes(60_000)) for n in range(1, 256)]
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + bytes(65_000)
    multiple = (_APP2, b"MPF\0" + exif_block(1))
    data = with_jpeg_segments(_jpeg(), *profile, *[(_APP1, xmp)] * 70, multiple)
    # Phones append a video.
    return data + _jpeg() * 100


def png_with_many_chunks(count: int, kind: bytes = b"tEXt") -> bytes:
    """Returns a file with empty chunks before its pixels."""
    return png(9, 9, 8, 2, b"\1\2\3", before=png_chunk(kind, b"") * count)


def png_with_compressed_metadata(size: int) -> bytes:
    """Returns a file with text and a colour profile that unpack to gigabytes, which is harmless."""
    packed = zlib.compress(bytes(size), 9)
    text = png_chunk(b"zTXt", b"a\0\0" + packed) + png_chunk(b"iTXt", b"a\0\1\0\0\0" + packed)
    return png(9, 9, 8, 2, b"\1\2\3", before=text * 20 + png_chunk(b"iCCP", b"a\0\0" + packed))


def png_with_many_frames(count: int) -> bytes:
    """Returns an animated file that states many frames and has none, which is harmless."""
    control = png_chunk(b"acTL", struct.pack(">II", count, 0))
    frame = png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 9, 9, 0, 0, 1, 1, 0, 0))
    return png(9, 9, 8, 2, b"\1\2\3", before=control, after=frame * 1000)


def png_with_surplus_pixels(size: int) -> bytes:
    """Returns a file whose compressed pixels go on after the last row, which is harmless."""
    head = struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(size), 9)
    chunks = ((b"IHDR", head), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def gif_with_many_blocks(count: int) -> bytes:
    """Returns a file with a comment in blocks of one byte."""
    data = gif((9, 9), (0, 0, 9, 9))
    start = data.index(b"\x21\xf9")
    return data[:start] + b"\x21\xfe" + b"\1x" * count + b"\0" + data[start:]


def gif_with_many_frames(count: int) -> bytes:
    """Returns an animated file, of which only the first frame is read."""
    data = gif((9, 9), (0, 0, 9, 9))
    start = data.index(b"\x21\xf9")
    return data[:-1] + data[start:-1] * count + data[-1:]


def run_length_bmp(width: int, height: int, row: bytes) -> bytes:
    """Returns a BMP file with compressed rows."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 2, 2)
    offset = 14 + len(head) + 8
    return b"".join(
        (b"BM", struct.pack("<IHHI", 0, 0, 0, offset), head, bytes(8), row * height, b"\0\1")
    )


def wide_bmp(width: int) -> bytes:
    """Returns a BMP file of 2 rows, which Pillow would collect in pieces of 64 kB."""
    return encode(Image.new("RGB", (width, 2)), "BMP")


def webp_with_many_chunks(count: int) -> bytes:
    """Returns a file with unknown chunks before its Exif block."""
    data = encode(_SMALL, "WEBP", exif=exif_block(6))
    start = data.index(b"EXIF")
    return _with_riff_size(data[:start] + (b"junk" + bytes(4)) * count + data[start:])


def webp_of_many_pixels() -> bytes:
    """Returns a file of 34 bytes with an image of 100 megapixels."""
    return encode(Image.new("RGB", (10_000, 10_000)), "WEBP", lossless=True, quality=0, method=0)


def _with_riff_size(data: bytes) -> bytes:
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def boxed_with_lie(file_format: str, size: tuple[int, int], **options: Any) -> bytes:
    """Returns an AVIF or HEIC file whose boxes state 64 x 64 pixels."""
    data = encode(Image.new("RGB", size), file_format, **options)
    return data.replace(struct.pack(">II", *size), struct.pack(">II", 64, 64))


def boxed_with_many_boxes(count: int) -> bytes:
    """Returns an AVIF file with many empty boxes."""
    return encode(_SMALL, "AVIF", speed=10) + struct.pack(">I4s", 8, b"free") * count


def boxed_with_large_tables(head_bytes: int) -> bytes:
    """Returns an AVIF file with a second, large box of metadata."""
    items = struct.pack(">I4sIBBH", head_bytes, b"iloc", 0, 0, 0, 0xFFFF) + bytes(head_bytes - 16)
    meta = struct.pack(">I4sI", len(items) + 12, b"meta", 0) + items
    return encode(_SMALL, "AVIF", speed=10) + meta


def with_exif_loop(file_format: str) -> bytes:
    """Returns a file whose Exif block has a table that refers to itself."""
    block = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x8769, 4, 1, 8) + struct.pack("<I", 8)
    return encode(_SMALL, file_format, exif=b"Exif\0\0" + block)


_DAMAGED_OR_DECODED = "decoded|damaged|memory"


class Attack(NamedTuple):
    """A hostile file.

    Attributes:
        name: What is in it.
        write: Function that returns its content.
        outcome: Regular expression for the refusal, or "decoded" if the file is harmless.
        stays_small: Whether the file costs no more memory than a small image.
    """

    name: str
    write: Callable[[], bytes]
    outcome: str
    stays_small: bool = True


# The outcomes are those within the default limits, and within smaller ones.
ATTACKS: tuple[Attack, ...] = (
    Attack("JPEG, Exif in 150,000 segments", lambda: jpeg_with_cut_exif(150_000), "segments"),
    Attack(
        "JPEG, Exif in 90,000 segments after an empty one",
        lambda: jpeg_with_cut_exif(90_000, before=b"\xff\xe5\0\0"),
        "decoded",
    ),
    Attack(
        "JPEG, Exif in 90,000 segments after an end",
        lambda: jpeg_with_cut_exif(90_000, before=b"\xff\xd9"),
        "it ends before its pixels",
    ),
    Attack("JPEG, 1,000 scans", lambda: jpeg_with_many_scans(1000), "more than 100 scans"),
    Attack("JPEG, 1,000 scans after a false end", lambda: jpeg_with_hidden_scans(1000), "scans"),
    Attack(
        "JPEG, 90 scans of 150 megapixels",
        lambda: _restate_jpeg(jpeg_with_many_scans(90), (15_000, 10_000)),
        "seconds|pixels",
    ),
    Attack(
        "JPEG, 2 kB that claim to be 49 megapixels",
        lambda: _restate_jpeg(jpeg_with_many_scans(10), (7_000, 7_000)),
        _DAMAGED_OR_DECODED,
        stays_small=False,
    ),
    Attack("JPEG, 2 MB of padding", lambda: _jpeg()[:2] + b"\xff" * 2**21 + _jpeg()[2:], "decoded"),
    Attack("JPEG, 2 MB of zeros", lambda: _jpeg()[:2] + b"\xff\0" * 2**20 + _jpeg()[2:], "decoded"),
    Attack("JPEG, 12 MB of tables", lambda: jpeg_with_many_tables(12_000_000), "its head"),
    Attack("JPEG, 9 MB of tables", lambda: jpeg_with_many_tables(9_000_000), "decoded"),
    Attack("JPEG, 10,000 frame headers", lambda: jpeg_with_many_frames(10_000), "frame headers"),
    Attack("JPEG, a marker in each block", lambda: _jpeg(restart_marker_blocks=1), "decoded"),
    Attack("JPEG, 20 MB of metadata", jpeg_with_metadata, "decoded"),
    Attack("PNG, 150,000 chunks", lambda: png_with_many_chunks(150_000), "chunks"),
    Attack("PNG, 90,000 empty chunks", lambda: png_with_many_chunks(90_000, b"IDAT"), "decoded"),
    Attack("PNG, metadata of 2 GB", lambda: png_with_compressed_metadata(50_000_000), "decoded"),
    Attack("PNG, 2 billion frames", lambda: png_with_many_frames(2**31 - 1), "decoded"),
    Attack("PNG, 100 MB too many", lambda: png_with_surplus_pixels(100_000_000), "decoded"),
    Attack("PNG, 40,000 x 40,000 pixels", lambda: _restate_png((40_000, 40_000)), "pixels"),
    Attack("GIF, 4 gigapixels", lambda: gif((65_535, 65_535), (0, 0, 9, 9)), "pixels"),
    Attack("GIF, 150,000 blocks", lambda: gif_with_many_blocks(150_000), "blocks"),
    Attack("GIF, 10,000 frames", lambda: gif_with_many_frames(10_000), "decoded"),
    Attack(
        "BMP, 199 megapixels in 56 kB",
        lambda: run_length_bmp(14_100, 14_100, b"\1\1\0\0"),
        "seconds|pixels",
    ),
    Attack("BMP, 1 row", lambda: run_length_bmp(99, 1, b"\0\2\0\0" * 500_000), "damaged"),
    Attack("BMP, rows of 12 MB", lambda: wide_bmp(4_000_000), "decoded|side", stays_small=False),
    Attack("WebP, 150,000 chunks", lambda: webp_with_many_chunks(150_000), "chunks"),
    Attack("WebP, 100 megapixels in 34 bytes", webp_of_many_pixels, "memory|pixels"),
    Attack(
        "WebP, 65,536 codes",
        lambda: lossless_webp_with_many_codes(65_536),
        "decoded|memory|damaged",
        stays_small=False,
    ),
    Attack(
        "AVIF, 64 megapixels that claim to be 64 x 64",
        lambda: boxed_with_lie("AVIF", (8000, 8000), speed=10),
        _DAMAGED_OR_DECODED,
        stays_small=False,
    ),
    Attack(
        "HEIC, 4 megapixels that claim to be 64 x 64",
        lambda: boxed_with_lie("HEIF", (2000, 2000)),
        _DAMAGED_OR_DECODED,
        stays_small=False,
    ),
    Attack("HEIC, grid of itself", lambda: heic_grid(16, 16, source=2), _DAMAGED_OR_DECODED),
    Attack("HEIC, grid of 10,000", lambda: heic_grid(100, 100, source=1), _DAMAGED_OR_DECODED),
    Attack(
        "HEIC, grid of 1 megapixel that claims to be 64 x 64",
        lambda: heic_grid(16, 16, source=1, stated_side=64),
        _DAMAGED_OR_DECODED,
        stays_small=False,
    ),
    Attack("AVIF, 150,000 boxes", lambda: boxed_with_many_boxes(150_000), "boxes"),
    Attack("AVIF, 12 MB of tables", lambda: boxed_with_large_tables(12_000_000), "its head"),
    *(
        Attack(f"{name}, Exif that refers to itself", partial(with_exif_loop, name), "decoded")
        for name in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF")
    ),
    *(
        Attack(f"{name}", partial(encode, _SMALL, name), "it is not a JPEG")
        for name in ("TIFF", "ICO", "JPEG2000", "PPM", "TGA", "PCX")
    ),
)


def _restate_jpeg(data: bytes, size: tuple[int, int]) -> bytes:
    """Returns a JPEG file whose progressive frame header states another size."""
    start = data.index(b"\xff\xc2") + 5
    return data[:start] + struct.pack(">HH", *size[::-1]) + data[start + 4 :]


def _restate_png(size: tuple[int, int]) -> bytes:
    data = png(9, 9, 8, 2, b"\1\2\3")
    head = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    return data[:8] + png_chunk(b"IHDR", head) + data[8 + 25 :]

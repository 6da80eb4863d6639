"""Writes image files of kinds that Pillow cannot write."""

import io
import struct
import zlib
from typing import Any

from PIL import Image

ORIENTATION_TAG = 0x0112
SHORT = 3


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Returns an image as a file."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Returns a chunk of a PNG file, with its checksum."""
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(
    width: int,
    height: int,
    bits: int,
    colour_type: int,
    pixel: bytes,
    *,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """Returns a PNG file whose rows repeat the bytes of one pixel.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        bits: Bits per sample.
        colour_type: 0 for grey, 2 for RGB, 3 for a palette, 4 and 6 for grey and RGB with alpha.
        pixel: Bytes of a pixel, or a byte with several equal pixels of fewer bits.
        before: Chunks before the pixels.
        after: Chunks after the pixels.
    """
    row_bytes = -(-width * bits // 8) if bits < 8 else width * len(pixel)
    row = b"\0" + (pixel * width)[:row_bytes]
    compressor = zlib.compressobj()
    rows_at_once = max(1, 2**20 // len(row))
    parts = [
        compressor.compress(row * min(rows_at_once, height - first))
        for first in range(0, height, rows_at_once)
    ]
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)),
            before,
            png_chunk(b"IDAT", b"".join((*parts, compressor.flush()))),
            after,
            png_chunk(b"IEND", b""),
        )
    )


def gif(
    screen: tuple[int, int],
    box: tuple[int, int, int, int],
    *,
    colour: tuple[int, int, int] = (255, 0, 0),
    transparency: int | None = None,
    disposal: int = 0,
) -> bytes:
    """Returns a GIF file with one frame of one colour.

    Args:
        screen: Width and height of the logical screen.
        box: Left, upper, right and lower bound of the frame.
        colour: Red, green and blue of palette entry 0, which the whole frame has. Entry 1 is green.
        transparency: Palette index of transparent pixels.
        disposal: What happens to the frame before the next one.
    """
    left, upper, right, lower = box
    frame = Image.new("P", (right - left, lower - upper), 0)
    frame.putpalette([*colour, 0, 255, 0])
    data = encode(frame, "GIF")
    pixels = data[data.index(b"\x2c", 13 + 6) + 10 :]
    flags = disposal << 2 | (transparency is not None)
    return b"".join(
        (
            b"GIF89a",
            struct.pack("<HHBBB", *screen, 0x80, 1, 0),
            bytes((*colour, 0, 255, 0)),
            bytes((0x21, 0xF9, 4, flags, 0, 0, transparency or 0, 0)),
            b"\x2c",
            struct.pack("<HHHHB", left, upper, right - left, lower - upper, 0),
            pixels,
        )
    )


def exif_block(
    orientation: int, *, order: str = "II", kind: int = SHORT, count: int = 1, first_entry: int = 8
) -> bytes:
    """Returns an Exif block, from its TIFF header on, with one entry.

    Args:
        orientation: Value of the entry.
        order: "II" for little-endian numbers, "MM" for big-endian ones.
        kind: TIFF type of the value: 1 for BYTE, 3 for SHORT, 4 for LONG.
        count: Number of values that the entry states.
        first_entry: Position of the table.
    """
    sign = "<" if order == "II" else ">"
    value = struct.pack(sign + {1: "B3x", SHORT: "H2x", 4: "I"}[kind], orientation)
    return b"".join(
        (
            order.encode(),
            struct.pack(f"{sign}HI", 42, first_entry),
            bytes(first_entry - 8),
            struct.pack(f"{sign}HHHI", 1, ORIENTATION_TAG, kind, count),
            value,
            bytes(4),
        )
    )


def with_jpeg_segments(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    """Returns a JPEG file with segments, given as marker and content, before its own ones."""
    return (
        jpeg[:2]
        + b"".join(
            b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content
            for marker, content in segments
        )
        + jpeg[2:]
    )

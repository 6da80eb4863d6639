"""Reads the chunks of a PNG file, and removes those that its pixels do not need.

Browsers ignore damage in such chunks, but Pillow does not.
https://www.w3.org/TR/png-3 specifies the format.
"""

import struct
import zlib
from typing import NamedTuple

from retrain.data.image_limits import ImageLimits

MAGIC = b"\x89PNG\r\n\x1a\n"

GREY, RGB, PALETTE = 0, 2, 3

_HEADER_BYTES = 13
# Bytes of a chunk besides its content: length, type and checksum.
_FRAME_BYTES = 12
_NEEDED = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_READ = {b"IHDR", b"PLTE", b"tRNS", b"sBIT", b"eXIf"}
_TRANSPARENCY_BYTES = {GREY: 2, RGB: 6}


class PngFile(NamedTuple):
    """What the chunks of a PNG file say.

    Attributes:
        data: The file with only its header, palette and compressed pixels.
        bits: Bits per sample.
        colour_type: GREY, RGB, PALETTE, or another one.
        transparency: Content of the tRNS chunk; b"" if it has none that is valid.
        significant_bits: Number of significant bits of greyscale samples, or `bits`.
        exif: Content of the first eXIf chunk before the pixels; b"" if there is none.
    """

    data: bytes
    bits: int
    colour_type: int
    transparency: bytes
    significant_bits: int
    exif: bytes


def parse(data: bytes, limits: ImageLimits) -> PngFile:
    """Parses a file that starts with MAGIC.

    Raises:
        UnreadableImageError: If there are too many chunks. Other damage is left to the decoder.
    """
    first: dict[bytes, bytes] = {}
    kept: list[tuple[bytes, int, int]] = []
    position, kind, count = len(MAGIC), b"", 0
    while position + 8 <= len(data) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + _FRAME_BYTES + length
        count += 1
        limits.check_parts(count, "chunks")
        if kind in _NEEDED and (kind not in first or kind == b"IDAT"):
            if kept and kept[-1][0] == kind and kept[-1][2] == position:
                kept[-1] = (kind, kept[-1][1], end)
            else:
                kept.append((kind, position, end))
        if kind in _READ and kind not in first and b"IDAT" not in first:
            content = data[position + 8 : end - 4]
            checksum = int.from_bytes(data[end - 4 : end], "big")
            valid = kind != b"tRNS" or _is_valid_transparency(content, first)
            if valid and end <= len(data) and zlib.crc32(kind + content) == checksum:
                first[kind] = content
        elif kind == b"IDAT":
            first[kind] = b""
        position = end
    header = first.get(b"IHDR", b"").ljust(_HEADER_BYTES, b"\0")
    bits, colour_type = header[8], header[9]
    # In other colour types, the palette is only a suggestion.
    chunks = [data[a:b] for kind, a, b in kept if kind != b"PLTE" or colour_type == PALETTE]
    significant = first.get(b"sBIT", b"") if colour_type == GREY else b""
    return PngFile(
        b"".join((MAGIC, *chunks)),
        bits,
        colour_type,
        first.get(b"tRNS", b""),
        significant[0] if len(significant) == 1 and 0 < significant[0] < bits else bits,
        first.get(b"eXIf", b""),
    )


def _is_valid_transparency(content: bytes, first: dict[bytes, bytes]) -> bool:
    colour_type = first.get(b"IHDR", b"").ljust(_HEADER_BYTES, b"\0")[9]
    if colour_type == PALETTE:
        return 0 < len(content) <= len(first.get(b"PLTE", b"")) // 3
    return len(content) == _TRANSPARENCY_BYTES.get(colour_type)

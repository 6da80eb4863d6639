"""Reads the chunks of a WebP file.

https://developers.google.com/speed/webp/docs/riff_container specifies the format.
"""

import struct
from typing import NamedTuple

from retrain.data.image_limits import ImageLimits, Size

_FIRST_CHUNK = 12
_CHUNK_HEADER_BYTES = 8
# Lossless pixels, an alpha channel, which can be lossless, and a frame, which contains such chunks.
_LOSSLESS = {b"VP8L", b"ALPH", b"ANMF"}


def is_webp(data: bytes) -> bool:
    """Returns whether a file starts like a WebP file."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def read_size(data: bytes) -> Size | None:
    """Returns the width and height of the canvas, or None if the file declares none."""
    kind, content = data[12:16], data[20:30]
    if kind == b"VP8X" and len(content) == 10:
        width, height = (int.from_bytes(content[i : i + 3], "little") + 1 for i in (4, 7))
        return width, height
    if kind == b"VP8L" and len(content) >= 5:
        (bits,) = struct.unpack_from("<I", content, 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(content) == 10:
        width, height = struct.unpack_from("<HH", content, 6)
        return width & 0x3FFF, height & 0x3FFF
    return None


class WebpFile(NamedTuple):
    """What the chunks of a WebP file say.

    Attributes:
        exif: Content of the first EXIF chunk; b"" if there is none.
        is_lossy: Whether the file has no losslessly compressed pixels, transparency or animation.
    """

    exif: bytes
    is_lossy: bool


def parse(data: bytes, limits: ImageLimits) -> WebpFile:
    """Parses a file for which `is_webp` is true.

    Raises:
        UnreadableImageError: If there are too many chunks.
    """
    exif, kinds = None, set[bytes]()
    position, count = _FIRST_CHUNK, 0
    while position + _CHUNK_HEADER_BYTES <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        start = position + _CHUNK_HEADER_BYTES
        if kind == b"EXIF" and exif is None:
            exif = data[start : start + length]
        kinds.add(kind)
        position = start + length + length % 2
        count += 1
        limits.check_parts(count, "chunks")
    return WebpFile(exif or b"", not kinds & _LOSSLESS)

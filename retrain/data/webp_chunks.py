"""Reads the chunks of a WebP file.

https://developers.google.com/speed/webp/docs/riff_container specifies the format.
"""

import struct

from retrain.data.image_limits import ImageLimits, Size

_FIRST_CHUNK = 12
_CHUNK_HEADER_BYTES = 8


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


def find_chunk(data: bytes, kind: bytes, limits: ImageLimits) -> bytes:
    """Returns the content of the first chunk of a type, b"" if there is none.

    Raises:
        UnreadableImageError: If there are too many chunks.
    """
    result = b""
    position, count = _FIRST_CHUNK, 0
    while position + _CHUNK_HEADER_BYTES <= len(data):
        found, length = struct.unpack_from("<4sI", data, position)
        start = position + _CHUNK_HEADER_BYTES
        if found == kind and not result:
            result = data[start : start + length]
        position = start + length + length % 2
        count += 1
        limits.check_parts(count, "chunks")
    return result

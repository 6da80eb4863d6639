"""Reads the size that an image file declares before any reader allocates memory for it."""

import struct
from collections.abc import Iterator

Size = tuple[int, int]

_CHUNK_HEADER_BYTES = 8
# A box starts with its length and its type (ISO/IEC 14496-12, 4.2).
_BOX_HEADER_BYTES = 8
# Boxes that contain others, and the number of bytes before them.
_CONTAINERS = {
    b"meta": 4,
    b"iprp": 0,
    b"ipco": 0,
    b"moov": 0,
    b"trak": 0,
    b"mdia": 0,
    b"minf": 0,
    b"stbl": 0,
}
_MAX_DEPTH = 8


def webp_size(data: bytes) -> Size | None:
    """Returns the width and height of the canvas of a WebP file, or None if it declares none.

    https://developers.google.com/speed/webp/docs/riff_container specifies the format.
    """
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


def webp_chunk(data: bytes, kind: bytes) -> bytes:
    """Returns the content of the first chunk of a type in a WebP file, b"" if there is none."""
    position = 12
    while position + _CHUNK_HEADER_BYTES <= len(data):
        found, length = struct.unpack_from("<4sI", data, position)
        start = position + _CHUNK_HEADER_BYTES
        if found == kind:
            return data[start : start + length]
        position = start + length + length % 2
    return b""


def read_size(data: bytes, ispe: int) -> Size:
    """Returns the width and height in an `ispe` box whose content starts at a position."""
    width, height = struct.unpack_from(">II", data, ispe + 4)
    return width, height


def boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields the type of each box, and the positions where its content starts and ends."""
    pending = [(0, len(data), 0)]
    while pending:
        position, limit, depth = pending.pop()
        while position + _BOX_HEADER_BYTES <= limit:
            length, kind = struct.unpack_from(">I4s", data, position)
            start = position + _BOX_HEADER_BYTES
            if length == 1 and start + 8 <= limit:
                (length,) = struct.unpack_from(">Q", data, start)
                start += 8
            end = min(position + length, limit) if length else limit
            if end < start:
                break
            yield kind, start, end
            if kind in _CONTAINERS and depth < _MAX_DEPTH:
                pending.append((start + _CONTAINERS[kind], end, depth + 1))
            position = end

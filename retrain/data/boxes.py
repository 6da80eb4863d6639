"""Reads the boxes of a HEIC or AVIF file, as specified in ISO/IEC 14496-12."""

import math
import struct
from collections.abc import Iterator
from typing import NamedTuple

from retrain.data.image_limits import ImageLimits, Size

FIRST_BOX = b"ftyp"

# A box starts with its length and its type (4.2).
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
# Boxes that decoders read as a whole. Those in `meta` and `moov` count with them.
_HEAD = {b"ftyp", b"meta", b"moov"}
_ISPE_BYTES = 12


class BoxedFile(NamedTuple):
    """What the boxes of a file state.

    Attributes:
        data: The file without its Exif block.
        size: Width and height of the largest image in the file, or None if the boxes state none.
    """

    data: bytes
    size: Size | None


def parse(data: bytes, limits: ImageLimits) -> BoxedFile:
    """Parses a file whose first box is of the type FIRST_BOX.

    Raises:
        UnreadableImageError: If there are too many boxes, or they are too large.
    """
    largest, items, head_bytes = None, None, 0
    for number, (kind, start, end) in enumerate(_boxes(data)):
        limits.check_parts(number + 1, "boxes")
        if kind in _HEAD:
            head_bytes += end - start
            limits.check_head(head_bytes)
        elif kind == b"ispe" and end - start >= _ISPE_BYTES:
            size = struct.unpack_from(">II", data, start + 4)
            largest = max(largest or (0, 0), size, key=math.prod)
        elif kind == b"iinf" and not items:
            items = start, end
    if items:
        # Decoders find the Exif block by this type of item. They take the orientation from other
        # boxes, but a damaged block would make them fail.
        start, end = items
        data = data[:start] + data[start:end].replace(b"Exif", b"skip") + data[end:]
    return BoxedFile(data, largest)


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
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

"""Reads the first frame of a GIF file.

https://www.w3.org/Graphics/GIF/spec-gif89a.txt specifies the format.
"""

import struct
from typing import NamedTuple

from retrain.data.image_limits import ImageLimits

MAGIC = (b"GIF87a", b"GIF89a")

_SCREEN_BYTES = 13
_FRAME, _EXTENSION, _END = 0x2C, 0x21, 0x3B
_GRAPHIC_CONTROL = 0xF9


class GifFile(NamedTuple):
    """The first frame of a GIF file.

    Attributes:
        data: A GIF file with only this frame. Blocks that readers interpret differently are
            removed.
        size: Width and height of the canvas in pixels. It contains the whole frame.
        box: Left, upper, right and lower bound of the frame on the canvas, in pixels.
        transparency: Palette index of transparent pixels, or None.
    """

    data: bytes
    size: tuple[int, int]
    box: tuple[int, int, int, int]
    transparency: int | None


def parse(data: bytes, limits: ImageLimits) -> GifFile | None:
    """Parses a file that starts with one of MAGIC. Returns None if it has no frame.

    Raises:
        UnreadableImageError: If there are too many blocks before the frame.
    """
    if len(data) < _SCREEN_BYTES:
        return None
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = _SCREEN_BYTES + _palette_bytes(flags)
    head = data[:position]
    transparency, count = None, 0
    while position < len(data) and data[position] != _END:
        kind = data[position]
        position += 1
        if kind == _FRAME:
            if position + 9 > len(data):
                return None
            left, top, frame_width, frame_height = struct.unpack_from("<4H", data, position)
            size = max(width, left + frame_width), max(height, top + frame_height)
            box = (left, top, left + frame_width, top + frame_height)
            rest = data[position - 1 :]
            control = _graphic_control(transparency)
            return GifFile(_with_size(head, size) + control + rest, size, box, transparency)
        if kind == _EXTENSION:
            control = data[position + 1 : position + 6]
            if data[position : position + 1] == bytes([_GRAPHIC_CONTROL]) and len(control) == 5:
                transparency = control[4] if control[1] & 1 else None
            position += 1
            while position < len(data) and data[position]:
                position += 1 + data[position]
                count += 1
                limits.check_parts(count, "blocks")
            position += 1
        count += 1
        limits.check_parts(count, "blocks")
    return None


def _graphic_control(transparency: int | None) -> bytes:
    """Returns a block that states the transparent colour, and no disposal of the frame.

    Pillow allocates memory for the disposal when it opens the file.
    """
    if transparency is None:
        return b""
    return bytes((_EXTENSION, _GRAPHIC_CONTROL, 4, 1, 0, 0, transparency, 0))


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _with_size(head: bytes, size: tuple[int, int]) -> bytes:
    width, height = (min(side, 0xFFFF) for side in size)
    return head[:6] + struct.pack("<HH", width, height) + head[10:]

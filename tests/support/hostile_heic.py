"""Writes HEIC files whose main image is a grid that shows one tile, or itself, many times.

ISO/IEC 14496-12 specifies the boxes, and ISO/IEC 23008-12, 6.6.2, the derived images.
"""

import struct

from PIL import Image
from pillow_heif import register_heif_opener

from tests.support.image_files import encode

# Pillow can then write HEIF files, too.
register_heif_opener()

_TILE = 64


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _full_box(kind: bytes, *parts: bytes, version: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24), *parts)


def _find(data: bytes, kind: bytes) -> bytes:
    """Returns the first box of a type."""
    start = data.index(kind) - 4
    return data[start : start + int.from_bytes(data[start : start + 4], "big")]


def heic_grid(rows: int, columns: int, *, source: int, stated_side: int | None = None) -> bytes:
    """Returns a file whose main image is a grid that shows the same item in all places.

    Args:
        rows: Number of rows, at most 256.
        columns: Number of columns, at most 256.
        source: Item that the grid shows: 1 is the tile, 2 is the grid itself.
        stated_side: Width and height that the file states for the grid, in pixels; None for its
            real ones.
    """
    tile_file = encode(Image.new("RGB", (_TILE, _TILE), "red"), "HEIF")
    configuration = _find(tile_file, b"hvcC")
    tile = _find(tile_file, b"mdat")[8:]
    size = (_TILE * columns, _TILE * rows)
    stated_size = (stated_side, stated_side) if stated_side else size
    sides = [struct.pack(">II", *sides) for sides in ((_TILE, _TILE), stated_size)]
    grid = struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, *size)
    count = rows * columns
    items = [
        _full_box(b"infe", struct.pack(">HH4s", number, 0, kind), b"\0", version=2)
        for number, kind in ((1, b"hvc1"), (2, b"grid"))
    ]
    properties = _box(b"ipco", configuration, *(_full_box(b"ispe", side) for side in sides))
    associations = struct.pack(">IHBBBHBB", 2, 1, 2, 0x81, 2, 2, 1, 3)
    references = struct.pack(">HH", 2, count) + struct.pack(">H", source) * count
    first_box = _box(b"ftyp", b"heic", bytes(4), b"mif1heic")

    def meta(tile_start: int) -> bytes:
        locations = struct.pack(">BBH", 0x44, 0, 2)
        locations += struct.pack(">HHHHII", 1, 0, 0, 1, tile_start, len(tile))
        locations += struct.pack(">HHHHII", 2, 1, 0, 1, 0, len(grid))
        return _full_box(
            b"meta",
            _full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
            _full_box(b"pitm", struct.pack(">H", 2)),
            _full_box(b"iinf", struct.pack(">H", 2), *items),
            _full_box(b"iref", _box(b"dimg", references)),
            _box(b"iprp", properties, _full_box(b"ipma", associations)),
            _box(b"idat", grid),
            _full_box(b"iloc", locations, version=1),
        )

    start = len(first_box) + len(meta(0)) + 8
    return first_box + meta(start) + _box(b"mdat", tile)

"""Reads the header of BMP files, and adds it to bitmaps without it.

Some programs write .dib files without a file header.
"""

import struct

_FILE_HEADER_BYTES = 14
# Sizes of BITMAPCOREHEADER, BITMAPINFOHEADER and its later versions:
# https://learn.microsoft.com/en-us/windows/win32/gdi/bitmap-header-types
_CORE_HEADER_BYTES, _INFO_HEADER_BYTES = 12, 40
_HEADER_BYTES = (_CORE_HEADER_BYTES, _INFO_HEADER_BYTES, 52, 56, 64, 108, 124)
_DEPTHS = (1, 4, 8, 16, 24, 32)
_MAX_PALETTE_DEPTH = 8
# The masks that follow a BITMAPINFOHEADER with this compression.
_MASK_BYTES = {3: 12, 6: 16}
# The compressions of 8 and of 4 bits per pixel.
_RUN_LENGTHS = {1, 2}


def add_file_header(data: bytes) -> bytes | None:
    """Returns the BMP file for a bitmap that starts with its own header, or None for other data."""
    if len(data) < _INFO_HEADER_BYTES:
        return None
    (header_bytes,) = struct.unpack_from("<I", data)
    is_core = header_bytes == _CORE_HEADER_BYTES
    planes, depth = struct.unpack_from("<HH", data, 8 if is_core else 12)
    if header_bytes not in _HEADER_BYTES or planes != 1 or depth not in _DEPTHS:
        return None
    compression, colours = (0, 0) if is_core else struct.unpack_from("<I12xI", data, 16)
    if depth <= _MAX_PALETTE_DEPTH and not colours:
        colours = 1 << depth
    masks = _MASK_BYTES.get(compression, 0) if header_bytes == _INFO_HEADER_BYTES else 0
    start = _FILE_HEADER_BYTES + header_bytes + masks + colours * (3 if is_core else 4)
    file_bytes = _FILE_HEADER_BYTES + len(data)
    if start > file_bytes:
        return None
    return struct.pack("<2sIII", b"BM", file_bytes & 0xFFFFFFFF, 0, start) + data


def has_run_lengths(data: bytes) -> bool:
    """Returns whether the pixels of a BMP file are compressed by run-length encoding."""
    header_bytes = int.from_bytes(data[_FILE_HEADER_BYTES : _FILE_HEADER_BYTES + 4], "little")
    compression = int.from_bytes(data[_FILE_HEADER_BYTES + 16 : _FILE_HEADER_BYTES + 20], "little")
    return header_bytes != _CORE_HEADER_BYTES and compression in _RUN_LENGTHS

"""Reads the orientation from an Exif block, by the rule of Chromium.

See step 5 in the docstring of `retrain.data.pixels`.
"""

import struct

UPRIGHT = 1

_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ENTRY_BYTES = 12
_ORIENTATION_TAG = 0x0112
_SHORT = 3


def read_orientation(block: bytes) -> int:
    """Returns the orientation (CIPA DC-008, 4.6.5), 1 to 8, or UPRIGHT if there is none.

    Args:
        block: Exif block that starts with its TIFF header; b"" if the file has none.
    """
    order = _BYTE_ORDERS.get(block[:4])
    if not order or len(block) < 8:
        return UPRIGHT
    (table,) = struct.unpack_from(f"{order}I", block, 4)
    if table + 2 > len(block):
        return UPRIGHT
    (count,) = struct.unpack_from(f"{order}H", block, table)
    first, end = table + 2, table + 2 + count * _ENTRY_BYTES
    if end > len(block):
        return UPRIGHT
    for entry in range(first, end, _ENTRY_BYTES):
        tag, kind, values, orientation = struct.unpack_from(f"{order}HHIH", block, entry)
        if (tag, kind, values) == (_ORIENTATION_TAG, _SHORT, 1):
            return orientation if 1 <= orientation <= 8 else UPRIGHT
    return UPRIGHT

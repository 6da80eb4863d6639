"""Reads the size of the frames in an AVIF file, which can exceed the size that its boxes state.

The AV1 bitstream specification, https://aomediacodec.github.io/av1-spec, has the numbers of the
sections below.
"""

import struct
from collections.abc import Iterator
from itertools import islice

from retrain.data.image_limits import Size, boxes

# More items than images have. Each costs a little time.
_MAX_ITEMS = 4096
_MAX_UNITS = 16
# Boxes with the positions of chunks, and the number of bytes of each.
_CHUNK_OFFSETS = {b"stco": 4, b"co64": 8}
_SEQUENCE_HEADER = 1


def frame_sizes(data: bytes) -> Iterator[Size]:
    """Yields the maximum width and height of the frames in each item and track."""
    for start in islice(_starts(data), _MAX_ITEMS):
        yield from _sizes_at(data, start)


def _starts(data: bytes) -> Iterator[int]:
    """Yields the positions where the data of items and tracks start (ISO/IEC 14496-12)."""
    bases, offsets = [0], list[int]()
    for kind, start, end in boxes(data):
        box = data[start:end]
        if kind == b"idat":
            bases.append(start)
        elif kind == b"iloc":
            offsets += islice(_item_starts(box), _MAX_ITEMS)
        elif kind in _CHUNK_OFFSETS:
            size = _CHUNK_OFFSETS[kind]
            # Only the first frame is decoded.
            offsets.append(int.from_bytes(box[8 : 8 + size], "big"))
    return (base + offset for offset in offsets for base in bases)


def _item_starts(box: bytes) -> Iterator[int]:
    """Yields the start of each extent (8.11.3)."""
    if len(box) < 8:
        return
    version, sizes = box[0], box[4:6]
    offset_size, length_size = sizes[0] >> 4, sizes[0] & 15
    base_size, index_size = sizes[1] >> 4, sizes[1] & 15 if version else 0
    position = 6

    def read(size: int) -> int:
        nonlocal position
        position += size
        return int.from_bytes(box[position - size : position], "big")

    items = read(2 if version < 2 else 4)
    while items and position < len(box):
        items -= 1
        position += (2 if version < 2 else 4) + (2 if version else 0) + 2
        base = read(base_size)
        extents = read(2)
        while extents and position < len(box):
            extents -= 1
            position += index_size
            yield base + read(offset_size)
            position += length_size
            if not offset_size + length_size + index_size:
                break


def _sizes_at(data: bytes, position: int) -> Iterator[Size]:
    """Yields the sizes in the sequence headers among the first units (5.3, 5.5)."""
    for _ in range(_MAX_UNITS):
        if position + 2 > len(data):
            return
        header = data[position]
        position += 2 if header & 4 else 1
        length = 0
        if header & 2:
            for shift in range(0, 56, 7):
                byte = data[position : position + 1]
                position += 1
                length |= ((byte[0] if byte else 0) & 0x7F) << shift
                if not byte or byte[0] < 0x80:
                    break
        else:
            length = len(data) - position
        if header & 0x80:
            return  # It is not AV1.
        if header >> 3 & 15 == _SEQUENCE_HEADER:
            size = _sequence_size(data[position : position + 64])
            if size:
                yield size
        position += length


def _sequence_size(header: bytes) -> Size | None:
    """Returns the maximum width and height in a sequence header (5.5.1), or None if it is cut."""
    bits = _Bits(header)
    try:
        bits.read(4)
        if bits.read(1):  # The header of a still image is shorter.
            bits.read(5)
        else:
            _skip_operating_points(bits)
        width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
        return bits.read(width_bits) + 1, bits.read(height_bits) + 1
    except struct.error:
        return None


def _skip_operating_points(bits: "_Bits") -> None:
    has_timing, has_model, delay_bits = bits.read(1), 0, 0
    if has_timing:
        bits.read(64)
        if bits.read(1):
            bits.read_variable()
        has_model = bits.read(1)
        if has_model:
            delay_bits = bits.read(5) + 1
            bits.read(42)
    has_delays = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if has_model and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if has_delays and bits.read(1):
            bits.read(4)


class _Bits:
    """Reads numbers of bits, the highest first."""

    def __init__(self, data: bytes) -> None:
        self._number, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count: int) -> int:
        """Returns the number in the next bits.

        Raises:
            struct.error: If there are not so many.
        """
        self._left -= count
        if self._left < 0:
            raise struct.error("too short")
        return self._number >> self._left & ((1 << count) - 1)

    def read_variable(self) -> int:
        """Returns a number that leading zeros state the length of (4.10.3)."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)

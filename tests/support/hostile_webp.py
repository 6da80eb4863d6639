"""Writes a lossless WebP file whose decoder needs much more memory than its pixels.

https://developers.google.com/speed/webp/docs/webp_lossless_bitstream_specification specifies it.
"""

import struct

_BLOCKS = 256
_BLOCK_SIZE = 4
_LENGTHS_IN_ORDER = 12
_POSITION_OF_18, _POSITION_OF_8 = 1, 11


class _Bits:
    """Collects numbers of bits, the lowest bit first."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def add(self, value: int, count: int) -> None:
        self._bits.append(f"{value:0{count}b}"[::-1])

    def add_code(self, value: int, count: int) -> None:
        """Adds a prefix code, whose highest bit comes first."""
        self._bits.append(f"{value:0{count}b}")

    def to_bytes(self) -> bytes:
        bits = "".join(self._bits)
        padded = bits.ljust(-(-len(bits) // 8) * 8, "0")
        return int(padded[::-1], 2).to_bytes(len(padded) // 8, "little")


def lossless_webp_with_many_codes(count: int) -> bytes:
    """Returns an image of one megapixel in which each block of 4 x 4 pixels has its own codes.

    Args:
        count: Number of groups of codes, at most 65,536. A decoder keeps 5 kB for each.
    """
    bits = _Bits()
    side = _BLOCKS * _BLOCK_SIZE
    for value, length in ((0x2F, 8), (side - 1, 14), (side - 1, 14), (0, 1), (0, 3)):
        bits.add(value, length)
    bits.add(0, 2)  # Neither transforms nor a colour cache.
    bits.add(1, 1)  # An image of the numbers of the groups follows, in red and green.
    bits.add(0, 3)  # A block has 4 pixels on a side.
    bits.add(0, 1)
    for alphabet in (280, 256):
        _add_codes_of_8_bits(bits, alphabet)
    for _ in range(3):
        _add_single_code(bits)
    for number in range(_BLOCKS**2):
        group = number % count
        bits.add_code(group & 255, 8)
        bits.add_code(group >> 8, 8)
    for _ in range(5 * count):
        _add_single_code(bits)
    content = bits.to_bytes()
    content += bytes(len(content) % 2)
    chunk = struct.pack("<4sI", b"VP8L", len(content)) + content
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunk), b"WEBP") + chunk


def _add_codes_of_8_bits(bits: _Bits, alphabet: int) -> None:
    """Adds the lengths of the codes of an alphabet whose first 256 symbols are used."""
    bits.add(0, 1)
    bits.add(_LENGTHS_IN_ORDER - 4, 4)
    for position in range(_LENGTHS_IN_ORDER):
        bits.add(position in (_POSITION_OF_18, _POSITION_OF_8), 3)
    bits.add(0, 1)
    bits.add(0, 256)
    if alphabet > 256:
        bits.add(1, 1)
        bits.add(alphabet - 256 - 11, 7)


def _add_single_code(bits: _Bits) -> None:
    """Adds a code with a single symbol, 0, which takes no bits."""
    bits.add(0b0001, 4)

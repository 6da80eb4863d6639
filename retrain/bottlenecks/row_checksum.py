"""Detects damaged rows of the bottleneck cache."""

import zlib

import numpy as np

# The exponent of a float16 value. All of its bits are set in infinities and NaN.
_EXPONENT = np.uint16(0x7C00)


class RowChecksums:
    """Computes checksums of the bottlenecks of one recipe.

    A checksum is the CRC-32 of the key and the vector. A vector that an index with wrong entries
    returns for another key does not match either.
    """

    def __init__(self, recipe: str) -> None:
        self._start = zlib.crc32(recipe.encode())

    def compute(self, key: tuple[bytes, int], vector: bytes) -> int:
        """Returns the checksum of a row, from 0 to 2**32 - 1.

        Args:
            key: SHA-256 of the image, and number of the variant.
            vector: Content of the row.
        """
        return zlib.crc32(vector, zlib.crc32(b"%b%d" % key, self._start))

    def is_intact(
        self, key: tuple[bytes, int], vector: object, checksum: object, *, size: int
    ) -> bool:
        """Returns whether a vector has `size` bytes and the right checksum, if it has one."""
        return (
            isinstance(vector, bytes)
            and len(vector) == size
            and (checksum is None or checksum == self.compute(key, vector))
        )


def are_finite(vectors: np.ndarray) -> np.ndarray:
    """Returns for each vector whether all of its values are finite.

    `np.isfinite` takes five times as long for float16.

    Args:
        vectors: float16 [N, width].

    Returns:
        bool [N].
    """
    return ~((vectors.view(np.uint16) & _EXPONENT) == _EXPONENT).any(axis=1)

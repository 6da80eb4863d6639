"""Finds the most similar vectors of each vector, by products of blocks of a matrix.

Exact products were chosen over an approximate index (hnswlib, faiss, pynndescent). For 50,000
vectors of 128 to 256 values they take seconds, which is less than building such an index, and they
miss nothing and need no further package. The time grows with the square of the number of vectors,
so an index would pay off from several hundred thousand on.
"""

import numpy as np

from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map

# Bytes of the similarities that a thread holds at a time: small enough for its cache, mostly.
_BLOCK_BYTES = 16 << 20


def most_similar(
    vectors: np.ndarray, count: int, *, antisymmetric: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the most similar other vectors of each vector.

    The similarity of `a` and `b` is their dot product. If there are antisymmetric parts `c` and
    `d`, it is `a @ b + abs(c @ d)`: an image that is split into the parts that stay the same and
    that change their sign when it is mirrored is then compared with the other image and with its
    mirror image at once, and the larger similarity counts.

    Args:
        vectors: float32 [N, width].
        count: Number of neighbours of each vector. N - 1 or fewer are found.
        antisymmetric: float32 [N, other width], or None.

    Returns:
        Indices of the neighbours, int64 [N, found], and their similarities, float32 [N, found],
        from the most similar on.
    """
    size = len(vectors)
    found = max(0, min(count, size - 1))
    indices = np.zeros((size, found), np.int64)
    similarities = np.zeros((size, found), np.float32)
    rows_at_a_time = max(1, _BLOCK_BYTES // (4 * max(size, 1)))

    def search(start: int) -> None:
        rows = slice(start, min(start + rows_at_a_time, size))
        block = vectors[rows] @ vectors.T
        if antisymmetric is not None:
            mirrored = antisymmetric[rows] @ antisymmetric.T
            block += np.abs(mirrored, out=mirrored)
        numbers = np.arange(len(block))
        block[numbers, numbers + start] = -np.inf
        # A few passes for the maximum take less time than sorting or partitioning the rows.
        for rank in range(found):
            best = block.argmax(axis=1)
            indices[rows, rank] = best
            similarities[rows, rank] = block[numbers, best]
            block[numbers, best] = -np.inf

    for _ in parallel_map(search, range(0, size, rows_at_a_time), processor_count()):
        pass
    return indices, similarities


def as_pairs(indices: np.ndarray) -> np.ndarray:
    """Returns the pairs of each vector and its neighbours, each pair once.

    Args:
        indices: Result of `most_similar`, int64 [N, found].

    Returns:
        int64 [pairs, 2], sorted, with the smaller index first.
    """
    first = np.repeat(np.arange(len(indices)), indices.shape[1])
    pairs = np.stack([first, indices.ravel()], axis=1)
    pairs.sort(axis=1)
    return np.unique(pairs, axis=0)

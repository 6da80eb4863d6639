"""Enlarges maps by bilinear interpolation."""

import numpy as np


def upsample(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns maps in another size, with the same means.

    Args:
        maps: float32 [..., h, w].
        height: Height of the results.
        width: Width of the results.

    Returns:
        float32 [..., height, width].
    """
    rows, columns = maps.shape[-2:]
    if (rows, columns) == (height, width):
        return maps
    result = _weights(rows, height) @ maps @ _weights(columns, width).T
    # Interpolation keeps the mean only if the size grows by a whole factor.
    error = result.mean((-2, -1), keepdims=True) - maps.mean((-2, -1), keepdims=True)
    return result - error


def _weights(size: int, new_size: int) -> np.ndarray:
    """Returns the matrix that interpolates along one axis, float32 [new_size, size]."""
    centres = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    lower = np.clip(np.floor(centres).astype(int), 0, size - 1)
    upper = np.minimum(lower + 1, size - 1)
    share = np.clip(centres - lower, 0, 1)
    result = np.zeros((new_size, size), np.float32)
    np.add.at(result, (np.arange(new_size), lower), 1 - share)
    np.add.at(result, (np.arange(new_size), upper), share)
    return result

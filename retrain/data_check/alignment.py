"""Decides whether two thumbnails show the same image, possibly cropped.

One thumbnail is shifted, stretched and adjusted in brightness and contrast until it differs least
from the other, by the Gauss-Newton method (Lucas and Kanade, An Iterative Image Registration
Technique with an Application to Stereo Vision, 1981). The correlation of what both show then tells
copies and other images apart.
"""

import numpy as np

# Largest shift, as a share of half the side, and limits of the stretch: 10 % of each side cropped.
_MAX_SHIFT = 0.22
_MIN_STRETCH, _MAX_STRETCH = 0.8, 1.25
_MAX_STEP = 0.1
# Keeps the equations solvable for images without edges.
_DAMPING = 1e-3
_EPSILON = 1e-6


def align(first: np.ndarray, second: np.ndarray, *, iterations: int) -> np.ndarray:
    """Returns the correlation of the pairs of images after the best alignment that was found.

    Args:
        first: Luminance of one image of each pair, float32 [N, side, side].
        second: Luminance of the other image, float32 [N, side, side].
        iterations: Number of steps of the method, half of them on blurred images.

    Returns:
        float32 [N], -1 to 1; 0 for images of a single colour.
    """
    side = first.shape[1]
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    # Shift and stretch along x and y.
    warp = np.tile(np.array([0, 1, 0, 1], np.float32), (len(first), 1))
    smooth = _blur(first), _blur(second)
    smoother = _blur(smooth[0]), _blur(smooth[1])
    for iteration in range(iterations):
        moving, fixed = smoother if iteration < iterations // 2 else smooth
        warp += np.clip(_step(moving, fixed, warp, axis), -_MAX_STEP, _MAX_STEP)
        warp[:, 0::2] = np.clip(warp[:, 0::2], -_MAX_SHIFT, _MAX_SHIFT)
        warp[:, 1::2] = np.clip(warp[:, 1::2], _MIN_STRETCH, _MAX_STRETCH)
    warped, mask = _warp(smooth[0], warp, axis)
    return _correlate(warped, smooth[1], mask)


def _step(moving: np.ndarray, fixed: np.ndarray, warp: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Returns the change of `warp` that reduces the difference most, float32 [N, 4]."""
    count, side, _ = moving.shape
    warped, mask = _warp(moving, warp, axis)
    down, across = np.gradient(warped, 2 / (side - 1), axis=(1, 2))
    across /= warp[:, 1, np.newaxis, np.newaxis]
    down /= warp[:, 3, np.newaxis, np.newaxis]
    columns = np.stack(
        [
            *(across, across * axis, down, down * axis[:, np.newaxis]),
            # The brightness and contrast of the other image.
            *(-fixed, -np.ones_like(fixed)),
        ],
        axis=1,
    ).reshape(count, 6, side * side)
    masked = columns * mask.reshape(count, 1, side * side)
    normal = masked @ columns.transpose(0, 2, 1)
    # Brightness and contrast are not damped: they would then never fit.
    diagonal = np.arange(4)
    damping = _DAMPING * (1 + normal[:, :4, :4].trace(axis1=1, axis2=2) / 4)
    normal[:, diagonal, diagonal] += damping[:, np.newaxis]
    normal[:, (4, 5), (4, 5)] += _EPSILON + _EPSILON * normal[:, (4, 5), (4, 5)]
    residual = masked @ warped.reshape(count, side * side, 1)
    # In single precision, images of almost a single colour would make the matrix singular.
    return -np.linalg.solve(normal.astype(np.float64), residual)[:, :4, 0].astype(np.float32)


def _warp(images: np.ndarray, warp: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the shifted and stretched images, and a mask of the pixels inside the originals."""
    half = (len(axis) - 1) / 2
    x = (warp[:, 0:1] + warp[:, 1:2] * axis + 1) * half
    y = (warp[:, 2:3] + warp[:, 3:4] * axis + 1) * half
    last = len(axis) - 1
    inside_x, inside_y = (((p >= 0) & (p <= last)).astype(np.float32) for p in (x, y))
    warped = _interpolate(_interpolate(images, x).transpose(0, 2, 1), y).transpose(0, 2, 1)
    return warped, inside_y[:, :, np.newaxis] * inside_x[:, np.newaxis, :]


def _interpolate(images: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Returns the columns of images at fractional positions, float32 [N, side, side]."""
    side = images.shape[2]
    positions = np.clip(positions, 0, side - 1)
    # A matrix with the weights of the two nearest columns.
    distances = np.abs(positions[:, np.newaxis, :] - np.arange(side)[np.newaxis, :, np.newaxis])
    weights = np.maximum(1 - distances, 0).astype(np.float32)
    return images @ weights


def _blur(images: np.ndarray) -> np.ndarray:
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), "edge")
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4


def _correlate(first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> np.ndarray:
    count = np.maximum(mask.sum(axis=(1, 2), keepdims=True), 1)
    first, second = (
        (image - (image * mask).sum(axis=(1, 2), keepdims=True) / count) * mask
        for image in (first, second)
    )
    product = (first * second).sum(axis=(1, 2))
    norms = np.sqrt((first**2).sum(axis=(1, 2)) * (second**2).sum(axis=(1, 2)))
    return product / np.maximum(norms, _EPSILON)

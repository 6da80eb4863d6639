"""Turns thumbnails and features into short vectors that are compared by their dot products."""

from typing import NamedTuple

import numpy as np

_SIDE = 16
# Number of principal components of features. More find no other neighbours.
_COMPONENTS = 128
_MAX_ROWS_TO_ANALYSE = 20_000
_EPSILON = 1e-6


class ThumbnailDescriptors(NamedTuple):
    """Thumbnails with mean 0 and norm 1, split into two parts.

    Attributes:
        symmetric: Part that stays the same when an image is mirrored, float32 [N, 128].
        antisymmetric: Part that changes its sign, float32 [N, 128].
    """

    symmetric: np.ndarray
    antisymmetric: np.ndarray


def describe_thumbnails(thumbnails: np.ndarray) -> ThumbnailDescriptors:
    """Returns a perceptual hash of each thumbnail with real numbers instead of bits.

    The similarity of two images is the correlation coefficient of their thumbnails, mirrored or
    not: `a.symmetric @ b.symmetric + abs(a.antisymmetric @ b.antisymmetric)`.

    Args:
        thumbnails: Luminance, uint8 [N, 32, 32].
    """
    reduced = shrink(thumbnails, _SIDE)
    reduced -= reduced.mean(axis=(1, 2), keepdims=True)
    flat = reduced.reshape(len(reduced), -1)
    reduced /= np.maximum(np.linalg.norm(flat, axis=1), _EPSILON)[:, np.newaxis, np.newaxis]
    left, right = reduced[:, :, : _SIDE // 2], reduced[:, :, : _SIDE // 2 - 1 : -1]
    scale = np.float32(1 / np.sqrt(2))
    parts = (scale * (left + right), scale * (left - right))
    return ThumbnailDescriptors(*(part.reshape(len(part), -1) for part in parts))


def shrink(thumbnails: np.ndarray, side: int) -> np.ndarray:
    """Returns square images averaged over blocks of pixels, float32 [N, side, side]."""
    count, height, _ = thumbnails.shape
    factor = height // side
    blocks = thumbnails.reshape(count, side, factor, side, factor)
    return blocks.mean(axis=(2, 4), dtype=np.float32)


def describe_features(features: np.ndarray) -> np.ndarray:
    """Returns the principal components of features, with norm 1.

    Without the mean, which all images of a narrow domain share, similar images stand out more.

    Args:
        features: float16 [N, width].

    Returns:
        float32 [N, 128], or fewer columns if the features are narrower.
    """
    step = -(-len(features) // _MAX_ROWS_TO_ANALYSE)
    sample = features[::step].astype(np.float32)
    mean = sample.mean(axis=0)
    sample -= mean
    _, axes = np.linalg.eigh(sample.T @ sample)
    axes = np.ascontiguousarray(axes[:, -_COMPONENTS:], np.float32)
    components = np.empty((len(features), axes.shape[1]), np.float32)
    for start in range(0, len(features), _MAX_ROWS_TO_ANALYSE):
        rows = slice(start, start + _MAX_ROWS_TO_ANALYSE)
        components[rows] = (features[rows].astype(np.float32) - mean) @ axes
    return components / np.maximum(np.linalg.norm(components, axis=1, keepdims=True), _EPSILON)

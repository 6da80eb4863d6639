"""Finds images that are copies of each other: scaled, re-encoded, slightly cropped or mirrored.

Candidates are the most similar thumbnails, and the most similar features if there are any. A second
look at the thumbnails decides. In images of a narrow domain, such as hands before the same wall,
the similarities of features and of thumbnails alone do not tell copies and other images apart.
"""

from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from retrain.data.image_traits import THUMBNAIL_SIDE
from retrain.data_check import alignment, descriptors, neighbours
from retrain.system.batches import batches
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map

# The constants were chosen on copies of images of hands, of pets and of rendered shapes.
_NEIGHBOURS = 3
# Correlation of thumbnails that are not aligned. Cropping 5 % of each side leaves more.
_MIN_CORRELATION = 0.6
# Correlations of aligned thumbnails, reduced and whole. Those of copies are nearly 1.
_MIN_COARSE = 0.93
_MIN_ALIGNED = 0.985
_COARSE_SIDE = THUMBNAIL_SIDE // 2
_COARSE_ITERATIONS, _FINE_ITERATIONS = 3, 8
# A contrast below this, in levels of luminance, is noise, which has no meaningful correlation.
_MIN_STDDEV = 2.0

_PAIRS_AT_A_TIME = 512


class NearDuplicates(NamedTuple):
    """Pairs of images that show the same.

    Attributes:
        pairs: Indices of the images, int64 [pairs, 2].
        correlations: Correlation of each pair's aligned thumbnails, float32 [pairs], up to 1.
    """

    pairs: np.ndarray
    correlations: np.ndarray


def find(thumbnails: np.ndarray, candidates: np.ndarray | None = None) -> NearDuplicates:
    """Finds near-duplicates among images that are not identical files.

    Args:
        thumbnails: Luminance, uint8 [N, 32, 32].
        candidates: Pairs of images that have similar features, int64 [M, 2], the smaller index
            first. None if there are no features.
    """
    if len(thumbnails) < 2:
        return NearDuplicates(np.empty((0, 2), np.int64), np.empty(0, np.float32))
    # Several threads share the work. Products on several threads each would mostly wait.
    with threadpool_limits(1, "blas"):
        pairs, is_mirrored = _find_candidates(thumbnails, candidates)
        coarse = descriptors.shrink(thumbnails, _COARSE_SIDE)
        correlations = _align(coarse, pairs, is_mirrored, _COARSE_ITERATIONS)
        is_similar = correlations >= _MIN_COARSE
        pairs, is_mirrored = pairs[is_similar], is_mirrored[is_similar]
        correlations = _align(thumbnails, pairs, is_mirrored, _FINE_ITERATIONS)
    is_copy = correlations >= _MIN_ALIGNED
    return NearDuplicates(pairs[is_copy], correlations[is_copy])


def correlate(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Returns the correlations of the reduced thumbnails of pairs that are aligned, float32 [M].

    Args:
        thumbnails: Luminance, uint8 [N, 32, 32].
        pairs: Indices of images that are not mirrored, int64 [M, 2].
    """
    with threadpool_limits(1, "blas"):
        coarse = descriptors.shrink(thumbnails, _COARSE_SIDE)
        return _align(coarse, pairs, np.zeros(len(pairs), bool), _COARSE_ITERATIONS)


def _find_candidates(
    thumbnails: np.ndarray, further: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns pairs, int64 [pairs, 2], and whether the first image looks mirrored, bool [pairs]."""
    parts = descriptors.describe_thumbnails(thumbnails)
    found, _ = neighbours.most_similar(
        parts.symmetric, _NEIGHBOURS, antisymmetric=parts.antisymmetric
    )
    pairs = neighbours.as_pairs(found)
    if further is not None:
        pairs = np.unique(np.concatenate([pairs, further]), axis=0)
    has_contrast = thumbnails.std(axis=(1, 2)) >= _MIN_STDDEV
    pairs = pairs[has_contrast[pairs].all(axis=1)]
    symmetric, antisymmetric = (
        np.einsum("ij,ij->i", part[pairs[:, 0]], part[pairs[:, 1]]) for part in parts
    )
    is_similar = symmetric + np.abs(antisymmetric) >= _MIN_CORRELATION
    return pairs[is_similar], (antisymmetric < 0)[is_similar]


def _align(
    images: np.ndarray, pairs: np.ndarray, is_mirrored: np.ndarray, iterations: int
) -> np.ndarray:
    """Returns the correlations of pairs of images after the alignment, float32 [pairs]."""

    def align(rows: list[int]) -> np.ndarray:
        first, second = (images[pairs[rows, side]].astype(np.float32) for side in (0, 1))
        mirrored = is_mirrored[rows]
        first[mirrored] = first[mirrored, :, ::-1]
        return alignment.align(first, second, iterations=iterations)

    chunks = batches(range(len(pairs)), _PAIRS_AT_A_TIME)
    return np.concatenate(
        [np.empty(0, np.float32), *parallel_map(align, chunks, processor_count())]
    )

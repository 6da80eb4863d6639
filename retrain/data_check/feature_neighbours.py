"""Finds the images with the most similar features, as candidates for near-duplicates."""

import numpy as np
from threadpoolctl import threadpool_limits

from retrain.data_check import descriptors, neighbours

_NEIGHBOURS = 3


def find_pairs(features: np.ndarray) -> np.ndarray:
    """Returns the pairs of each image and its nearest neighbours.

    Args:
        features: float16 [N, width].

    Returns:
        Indices of the images, int64 [pairs, 2], the smaller one first.
    """
    if len(features) < 2:
        return np.empty((0, 2), np.int64)
    with threadpool_limits(1, "blas"):
        vectors = descriptors.describe_features(features)
        indices, _ = neighbours.most_similar(vectors, _NEIGHBOURS)
    return neighbours.as_pairs(indices)

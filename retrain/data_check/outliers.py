"""Finds images that look like no others of their class or like no others at all.

The measure is the Mahalanobis distance of the normalised features to the mean of the class, with
one covariance for all classes and shrinkage towards a multiple of the identity, as if the image
itself were not among those that the covariance is computed from.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from retrain.data_check.feature_chunks import row_chunks
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map

_SHRINKAGE = 0.2
# An outlier is so many interquartile ranges above the upper quartile of the logarithms. The largest
# value among photos of hands, pets and film heroes, most of which are no outliers, is 2.6.
_FAR_OUT = 2.0
_MIN_IMAGES = 20
# The covariance is computed from every second, third ... image if there are more than so many.
_MAX_IMAGES_OF_COVARIANCE = 10_000
_MAX_LEVERAGE = 0.999
_EPSILON = 1e-6


def find_outliers(features: np.ndarray, class_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the outliers among images.

    Args:
        features: float16 [N, width].
        class_ids: int64 [N].

    Returns:
        Indices of the outliers, int64 [outliers], from the strangest on, and how many interquartile
        ranges they are from the upper quartile, float32 [outliers].
    """
    if len(features) < _MIN_IMAGES:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    with threadpool_limits(1, "blas"):
        distances = np.log(np.maximum(_distances(features, class_ids), _EPSILON))
    lower, upper = np.percentile(distances, (25, 75))
    excess = (distances - upper) / max(upper - lower, _EPSILON)
    far = np.flatnonzero(excess > _FAR_OUT)
    far = far[np.argsort(-excess[far], kind="stable")]
    return far, excess[far]


def _distances(features: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
    """Returns the squared distance of each image to the mean of its class, float32 [N]."""
    count, width = features.shape
    class_count = int(class_ids.max()) + 1
    chunks = row_chunks(count)

    def normalise(rows: slice) -> np.ndarray:
        vectors = features[rows].astype(np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _EPSILON)

    sums = np.zeros((class_count, width), np.float32)
    for rows in chunks:
        np.add.at(sums, class_ids[rows], normalise(rows))
    sizes = np.bincount(class_ids, minlength=class_count)
    means = sums / np.maximum(sizes, 1)[:, np.newaxis]

    step = -(-count // _MAX_IMAGES_OF_COVARIANCE)
    is_used = np.arange(count) % step == 0

    def scatter(rows: slice) -> np.ndarray:
        used = is_used[rows]
        centred = (normalise(rows) - means[class_ids[rows]])[used]
        return centred.T @ centred

    covariance = sum(parallel_map(scatter, chunks, processor_count()), np.zeros((width, width)))
    covariance /= is_used.sum()
    identity = np.eye(width) * max(covariance.trace() / width, _EPSILON)
    precision = np.linalg.inv((1 - _SHRINKAGE) * covariance + _SHRINKAGE * identity)
    precision = precision.astype(np.float32)

    def measure(rows: slice) -> np.ndarray:
        centred = normalise(rows) - means[class_ids[rows]]
        squares = np.einsum("ij,ij->i", centred @ precision, centred)
        leverage = np.where(is_used[rows], (1 - _SHRINKAGE) * squares / is_used.sum(), 0)
        leverage = np.minimum(leverage, _MAX_LEVERAGE)
        return squares / (1 - leverage)

    return np.concatenate([*parallel_map(measure, chunks, processor_count())])

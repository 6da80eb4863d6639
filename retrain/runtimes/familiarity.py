"""Computes how familiar an image is, compared with the training images of a classifier.

Softmax scores cannot tell that an image shows none of the classes. Its distance to the classes in
the space of the features can: the features are scaled to length 1, and the distance is that of
Mahalanobis to the nearest class mean, with one covariance for all classes.

Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples, 2018,
https://arxiv.org/abs/1807.03888; Mueller and Hein, Mahalanobis++, 2025,
https://arxiv.org/abs/2505.18032
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Below this familiarity, programs call an image unknown, unless the user sets another threshold.
# 95 % of the images of the classes are at least as familiar.
UNKNOWN_BELOW = 0.05

# The distribution of distances beyond the largest one that was measured is the tail of a
# generalised Pareto distribution with this shape: Pickands, Statistical Inference Using Extreme
# Order Statistics, 1975. Larger values make familiarity decrease more slowly.
TAIL_SHAPE = 0.25
# Features shorter than this are not scaled up to length 1.
MIN_NORM = 1e-6

_ROWS_AT_A_TIME = 4096


@dataclass(frozen=True)
class Familiarity:
    """The familiarity of images, computed from their features.

    The covariance is known in `rank` directions; in all others, it is the same. Arrays have values
    that float16 can represent, so that a file stores them without a change.

    Attributes:
        center: Mean of the class means, float32 [width]. The features are the first `width` ones
            of the network.
        basis: Directions, each divided by the standard deviation in it, float32 [width, rank].
        variances: Variance in each direction, float32 [rank].
        means: Class means relative to the center, in the basis, float32 [classes, rank].
        residual_variance: Variance in each direction outside of the basis.
        distances: Distances in increasing order, float32 [K].
        shares: Share of held-out images with a larger distance, float32 [K], from 1 downwards.
        tail_scale: Scale of the distribution of distances beyond the last one.
    """

    center: np.ndarray
    basis: np.ndarray
    variances: np.ndarray
    means: np.ndarray
    residual_variance: float
    distances: np.ndarray
    shares: np.ndarray
    tail_scale: float

    @property
    def width(self) -> int:
        """Number of features that the familiarity depends on."""
        return len(self.center)

    @cached_property
    def _mean_squares(self) -> np.ndarray:
        return np.square(self.means).sum(axis=1)

    @cached_property
    def _factors(self) -> np.ndarray:
        return -2 * self.means.T

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Returns the familiarity of images, float32 [N], 0 to 1.

        It is the share of held-out images of the classes that are less familiar than this image:
        0.05 means that 95 % of the images of the classes look more familiar. Below the familiarity
        of all held-out images it keeps decreasing.

        Args:
            features: float16 or float32 [N, at least width].
        """
        return self.shares_of(self.class_distances(features))

    def class_distances(self, features: np.ndarray) -> np.ndarray:
        """Returns the distance of images to the nearest class mean, float32 [N].

        It is infinite for features that are not finite.

        Args:
            features: float16 or float32 [N, at least width].
        """
        result = np.empty(len(features), np.float32)
        for start in range(0, len(features), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            with np.errstate(all="ignore"):
                offsets = normalise(features[rows, : self.width]) - self.center
                projected = offsets @ self.basis
                squares = np.square(projected)
                nearest = (self._mean_squares + projected @ self._factors).min(axis=1)
                inside = np.maximum(squares.sum(axis=1) + nearest, 0)
                outside = np.einsum("nw,nw->n", offsets, offsets) - squares @ self.variances
                result[rows] = np.sqrt(inside + np.maximum(outside, 0) / self.residual_variance)
        return np.nan_to_num(result, copy=False, nan=np.inf, posinf=np.inf)

    def shares_of(self, distances: np.ndarray) -> np.ndarray:
        """Returns the share of held-out images with larger distances, float32 [N].

        Args:
            distances: Result of `class_distances`.
        """
        last = self.distances[-1]
        within = np.interp(np.minimum(distances, last), self.distances, self.shares)
        beyond = np.maximum(distances - last, 0) / np.float32(self.tail_scale)
        tail = (1 + np.float32(TAIL_SHAPE) * beyond) ** np.float32(-1 / TAIL_SHAPE)
        return (within * tail).astype(np.float32)


def normalise(features: np.ndarray) -> np.ndarray:
    """Returns features scaled to length 1, float32 in the same shape.

    Args:
        features: float16 or float32 [N, width].
    """
    features = features.astype(np.float32, copy=False)
    norms = np.sqrt(np.einsum("nw,nw->n", features, features))
    return features / np.maximum(norms, np.float32(MIN_NORM))[:, np.newaxis]

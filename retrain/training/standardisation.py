"""Scales features for a fit, and converts heads between scaled and original features.

One regularisation strength then suits all features.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from retrain.runtimes.head import Head

# Smallest divisor of a feature, relative to the root mean square of all standard deviations in its
# stage. A feature that varies less is not scaled up further: its variation is noise, and the noise
# of another engine or decoder would be scaled up as well. This gains 0.6 points of accuracy on
# images of handwritten digits.
_MIN_RELATIVE_STDDEV = 0.2
# Number of images at which the variance of a feature counts as much as the mean variance in its
# stage. The variances in a few images are mostly noise. Without this prior, 5 images of each class
# lose up to 3 points of accuracy; large data sets gain a little by it, too. The measurements are in
# docs/performance.md.
_PRIOR_IMAGES = 300

_ROWS_AT_A_TIME = 8192


class Standardisation(NamedTuple):
    """The linear function that standardises features.

    Attributes:
        mean: Mean of each feature, float32 [width].
        stddev: Divisor of each feature, float32 [width].
    """

    mean: np.ndarray
    stddev: np.ndarray

    def fold(self, standardised: Head) -> Head:
        """Converts a head for standardised features to an equivalent one for features."""
        weights = standardised.weights / self.stddev[:, np.newaxis]
        return Head(weights, standardised.bias - self.mean @ weights)

    def unfold(self, head: Head) -> Head:
        """Converts a head for features to an equivalent one for standardised features."""
        weights = head.weights * self.stddev[:, np.newaxis]
        return Head(weights, head.bias + self.mean @ head.weights)


def fit_standardisation(
    features: np.ndarray, stage_widths: Sequence[int], *, image_count: int
) -> Standardisation:
    """Returns the standardisation of the features of some images.

    Args:
        features: float16 or float32 [N, width].
        stage_widths: Number of features of each earlier stage, after those of the last layer.
        image_count: Number of images, of which each can have several rows.
    """
    mean, variance = _mean_and_variance(features)
    starts = features.shape[1] - np.cumsum(stage_widths[::-1], dtype=int)[::-1]
    divisors = [_divisors(stage, image_count) for stage in np.split(variance, starts)]
    return Standardisation(mean.astype(np.float32), np.concatenate(divisors).astype(np.float32))


def row_chunks(count: int) -> list[slice]:
    """Returns slices that cover `count` rows, which are converted to other types one by one."""
    return [slice(i, i + _ROWS_AT_A_TIME) for i in range(0, count, _ROWS_AT_A_TIME)]


def _mean_and_variance(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count, width = features.shape
    total = np.zeros(width)
    squares = np.zeros(width)
    for rows in row_chunks(count):
        chunk = features[rows].astype(np.float64)
        total += chunk.sum(axis=0)
        squares += np.square(chunk).sum(axis=0)
    mean = total / count
    return mean, np.maximum(squares / count - np.square(mean), 0)


def _divisors(variance: np.ndarray, image_count: int) -> np.ndarray:
    """Returns the divisor of each feature of a stage: its standard deviation, roughly."""
    mean_variance = variance.mean()
    if not mean_variance:
        return np.ones_like(variance)  # No feature varies at all, so any divisor is as good.
    limited = np.maximum(variance, _MIN_RELATIVE_STDDEV**2 * mean_variance)
    total = image_count * limited + _PRIOR_IMAGES * mean_variance
    return np.sqrt(total / (image_count + _PRIOR_IMAGES))

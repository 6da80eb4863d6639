"""The accuracy with fewer training images, and an estimate for twice as many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from retrain.training.accuracy_interval import accuracy_interval

# Resamples of the judged images, and the interval of the estimated gain in percentiles.
_RESAMPLES = 1000
_GAIN_INTERVAL = (5, 95)
# Share of the slope of a straight line that is left for the next doubling. The lines become flatter
# the more images there are; tests/benchmarks/learning_curve.py compares estimates with accuracies.
_SLOPE_LEFT = (0.4, 1.0)
# With fewer mistakes of the head that was trained on all images, there is no estimate.
_MIN_MISTAKES = 5


class MeasuredPoints(NamedTuple):
    """Which images get the right label from heads with different numbers of training images.

    Attributes:
        sizes: Mean number of training images of each point, in increasing order.
        right: Whether each judged image gets the right label, bool [points, N].
        groups: Number of each judged image's group, int [N].
        variance_factor: See `accuracy_interval`.
    """

    sizes: Sequence[float]
    right: np.ndarray
    groups: np.ndarray
    variance_factor: float = 1


class Point(NamedTuple):
    """The accuracy of heads that were trained on some of the images.

    Attributes:
        images: Mean number of training images.
        accuracy: Fraction of the judged images with the right label.
        low: Lower end of the accuracy's 95 % interval.
        high: Upper end of the interval.
    """

    images: float
    accuracy: float
    low: float
    high: float


class Estimate(NamedTuple):
    """What twice as many images of the same kind would add to the accuracy, as a fraction.

    Attributes:
        gain: Most likely gain.
        low: Lower end of the 90 % interval.
        high: Upper end of the interval.
    """

    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class LearningCurve:
    """The accuracy of heads that were trained on different numbers of images.

    Attributes:
        points: Points in increasing order of their numbers of images.
        doubled: Estimate for twice as many images as at the last point; None if there are too few
            mistakes or points.
        judged: Number of images that each point was judged on.
    """

    points: tuple[Point, ...]
    doubled: Estimate | None
    judged: int


def summarise(measured: MeasuredPoints, *, seed: int = 0) -> LearningCurve:
    """Returns the learning curve with its intervals, and the estimate for twice as many images.

    The intervals of the accuracies are those of a cross-validation. The estimate continues the
    straight line that errors follow on logarithmic scales: with twice the images, a constant share
    of them remains. Its interval comes from resampling the images. Half of the lines go through all
    points, half through the last two, and they become flatter by an unknown factor, so that the
    interval also covers that the line is only approximately right.
    Hestness et al., Deep Learning Scaling is Predictable, Empirically, 2017,
    https://arxiv.org/abs/1712.00409

    Args:
        measured: The points, with at least one judged image. Groups are resampled as a whole.
        seed: Random seed of the resampling.
    """
    sizes, right, groups, variance_factor = measured

    def point(size: float, row: np.ndarray) -> Point:
        interval = accuracy_interval(row, groups=groups, variance_factor=variance_factor)
        return Point(size, float(row.mean()), *interval)

    doubled = None
    if len(sizes) > 2 and (~right[-1]).sum() >= _MIN_MISTAKES:
        doubled = _estimate(sizes, right, groups, seed=seed)
    return LearningCurve(tuple(map(point, sizes, right)), doubled, right.shape[1])


def _estimate(
    sizes: Sequence[float], right: np.ndarray, groups: np.ndarray, *, seed: int
) -> Estimate:
    _, groups = np.unique(groups, return_inverse=True)
    group_count = groups.max() + 1
    random = np.random.default_rng(seed)
    weights = random.multinomial(
        group_count, np.full(group_count, 1 / group_count), size=_RESAMPLES
    )
    mistakes_by_group = np.stack([np.bincount(groups, ~row, group_count) for row in right])
    counts = weights @ np.bincount(groups, minlength=group_count)
    mistakes = weights @ mistakes_by_group.T
    gains = [
        _extrapolate(
            sizes[first:],
            mistakes[:, first:],
            counts,
            slope_left=random.uniform(*_SLOPE_LEFT, _RESAMPLES),
        )
        for first in (0, -2)
    ]
    low, gain, high = np.percentile(gains, (_GAIN_INTERVAL[0], 50, _GAIN_INTERVAL[1])).tolist()
    return Estimate(gain, low, high)


def _extrapolate(
    sizes: Sequence[float], mistakes: np.ndarray, counts: np.ndarray, *, slope_left: np.ndarray
) -> np.ndarray:
    """Returns the gain in accuracy of twice the last size, float [M].

    Args:
        sizes: Numbers of training images, [points].
        mistakes: Numbers of mistakes, [M, points].
        counts: Numbers of judged images, [M].
        slope_left: Shares of the slope to continue with, [M].
    """
    # Half a mistake more, since the logarithm of zero is infinite.
    errors = (mistakes + 0.5) / (counts + 1)[:, np.newaxis]
    x = np.log2(sizes)
    x -= x.mean()
    slopes = np.log2(errors) @ x / (x @ x)
    return errors[:, -1] * (1 - 2 ** (slope_left * np.minimum(slopes, 0)))

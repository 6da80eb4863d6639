"""Computes confidence intervals of accuracies."""

import math

import numpy as np

# 95 % of a normal distribution lie within this number of standard deviations.
Z_95 = 1.959963984540054


def accuracy_interval(
    right: np.ndarray, *, groups: np.ndarray | None = None, variance_factor: float = 1
) -> tuple[float, float]:
    """Returns the 95 % confidence interval of an accuracy.

    Args:
        right: Whether the label of each image is right, bool [N], N at least 1.
        groups: Number of each image's group, int [N]. Images of a group resemble each other, so
            they say less about the accuracy than as many other images, and the interval is wider.
            None if each image is a group of its own.
        variance_factor: Variance of the accuracy, divided by that of one classifier's accuracy on
            independent images.
    """
    return wilson_interval(right.mean(), _effective_count(right, groups) / variance_factor)


def wilson_interval(fraction: float, count: float) -> tuple[float, float]:
    """Returns the 95 % Wilson score interval, which also holds for few images and near 0 and 1.

    E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927,
    https://doi.org/10.1080/01621459.1927.10502953

    Args:
        fraction: Observed fraction, 0 to 1.
        count: Number of independent observations, more than 0.
    """
    scale = 1 + Z_95**2 / count
    centre = (fraction + Z_95**2 / (2 * count)) / scale
    half_width = (
        Z_95 * math.sqrt(fraction * (1 - fraction) / count + (Z_95 / (2 * count)) ** 2) / scale
    )
    return float(max(centre - half_width, 0.0)), float(min(centre + half_width, 1.0))


def _effective_count(right: np.ndarray, groups: np.ndarray | None) -> float:
    """Returns the number of independent images whose accuracy would vary as much.

    The variance between groups, divided by the one between as many independent images, is the
    design effect (L. Kish, Survey Sampling, 1965). It is at least 1, and at most what it is if all
    images of a group are right or wrong together.

    Args:
        right: Whether the label of each image is right, bool [N], N at least 1.
        groups: As for `accuracy_interval`.
    """
    count = len(right)
    if groups is None:
        return count
    sizes = np.bincount(groups)
    at_least = count**2 / np.square(sizes).sum(dtype=np.float64)
    accuracy = right.mean()
    if accuracy in (0, 1):
        return at_least
    group_count = np.count_nonzero(sizes)
    squares = np.square(np.bincount(groups, right - accuracy)).sum()
    variance = squares / count**2 * group_count / max(group_count - 1, 1)
    return float(np.clip(accuracy * (1 - accuracy) / variance, at_least, count))

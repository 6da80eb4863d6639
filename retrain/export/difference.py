"""Measures the difference between two sets of probabilities of the same images."""

import dataclasses

import numpy as np

# Largest difference between two probabilities that float16 arithmetic explains. Labels whose
# probabilities differ by less are equally good.
_ROUNDING_ERROR = 1e-3


@dataclasses.dataclass(frozen=True)
class Difference:
    """Difference between two sets of probabilities of the same images.

    Attributes:
        images: Number of images.
        agreement: Fraction of the images with the same best label, 0 to 1.
        largest: Largest absolute difference between two probabilities of a label.
        mean: Mean absolute difference between two probabilities of a label.
    """

    images: int
    agreement: float
    largest: float
    mean: float


def has_same_label(computed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Returns whether the best computed label of each image is also the best expected one.

    If several expected probabilities are equal except for rounding, each of their labels counts as
    the best one.

    Args:
        computed: Probabilities that a file computed, float32 [N, classes].
        expected: Probabilities of the classifier that was tested, float32 [N, classes].

    Returns:
        bool [N]. False for images with a probability that is not finite.
    """
    best = np.nan_to_num(computed).argmax(1)
    shortfall = expected.max(1) - expected[np.arange(len(expected)), best]
    return (shortfall <= _ROUNDING_ERROR) & np.isfinite(computed).all(1)


def measure_difference(computed: np.ndarray, expected: np.ndarray) -> Difference:
    """Returns the difference between probabilities; see `has_same_label` for the arguments."""
    distances = np.abs(computed - expected)
    return Difference(
        images=len(computed),
        agreement=float(has_same_label(computed, expected).mean()),
        largest=float(distances.max()),
        mean=float(distances.mean()),
    )

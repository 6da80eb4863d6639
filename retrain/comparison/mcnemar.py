"""Decides whether one of two classifiers is better, from their answers for the same images."""

from dataclasses import dataclass

import numpy as np

# Probability below which chance alone is no explanation.
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class PairedCounts:
    """How often two classifiers are right about the same images.

    Attributes:
        both: Number of images that both get right.
        only_new: Number of images that only the new classifier gets right.
        only_old: Number of images that only the old classifier gets right.
        neither: Number of images that neither gets right.
        p_value: Probability of at least such a difference if both are equally good: the exact
            McNemar test (https://doi.org/10.1007/BF02295996), two-sided.
    """

    both: int
    only_new: int
    only_old: int
    neither: int
    p_value: float

    @property
    def count(self) -> int:
        """Number of images."""
        return self.both + self.only_new + self.only_old + self.neither

    def verdict(self) -> str:
        """Returns a sentence about what the difference means."""
        if self.only_new == self.only_old:
            return "Neither is better."
        winner = "new" if self.only_new > self.only_old else "old"
        chance = (
            f"If both were equally good, a difference like this would occur in "
            f"{_percent(self.p_value)} of such comparisons."
        )
        if self.p_value < SIGNIFICANT:
            return f"The {winner} one is better. {chance}"
        return f"This does not show that the {winner} one is better. {chance}"


def count_pairs(new_right: np.ndarray, old_right: np.ndarray) -> PairedCounts:
    """Counts the images that each of two classifiers gets right.

    Args:
        new_right: Whether the new classifier is right about each image, bool [N].
        old_right: Whether the old one is, bool [N].
    """
    from scipy.stats import binomtest

    only_new, only_old = int((new_right & ~old_right).sum()), int((old_right & ~new_right).sum())
    differing = only_new + only_old
    return PairedCounts(
        both=int((new_right & old_right).sum()),
        only_new=only_new,
        only_old=only_old,
        neither=int((~new_right & ~old_right).sum()),
        p_value=float(binomtest(only_new, differing).pvalue) if differing else 1.0,
    )


def _percent(probability: float) -> str:
    return "less than 0.1 %" if probability < 0.001 else f"{100 * probability:.2g} %"

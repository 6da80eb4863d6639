"""Tests whether one classifier has a smaller cross entropy than another, on the same images."""

from typing import NamedTuple

import numpy as np

# The gain must be positive with this confidence. `tests/benchmarks/fine_tuning_selection.py`
# measures how often chance passes.
_CONFIDENCE = 0.95


class PairedGain(NamedTuple):
    """How much smaller the cross entropy of the second classifier is, in nats.

    Attributes:
        mean: Mean decrease of the cross entropy; negative if it is larger.
        standard_error: Standard error of the mean; infinite for a single group of images.
        required: Bound that a mean without a gain exceeds with a probability of 5 %.
    """

    mean: float
    standard_error: float
    required: float

    @property
    def is_certain(self) -> bool:
        """Whether the mean is larger than chance would explain, with a confidence of 95 %."""
        return self.mean > self.required


def measure_paired_gain(before: np.ndarray, after: np.ndarray, groups: np.ndarray) -> PairedGain:
    """Returns the gain, with a paired t-test over groups of images.

    The difference for each image varies much less than the cross entropies themselves. Student's
    distribution accounts for the few images of a validation split, whose standard error is itself
    uncertain.

    Args:
        before: Cross entropy of each image with the first classifier, float [N], N at least 1.
        after: Cross entropy of each image with the second classifier, float [N].
        groups: Number of each image's group, int [N]. Images of a group resemble each other, so
            that they count as one observation.
    """
    from scipy.special import stdtrit

    gains = before - after
    mean = float(gains.mean())
    _, groups = np.unique(groups, return_inverse=True)
    deviations = np.bincount(groups, gains - mean)
    count = len(deviations)
    if count == 1:
        return PairedGain(mean, np.inf, np.inf)
    variance = count / (count - 1) * np.square(deviations).sum() / len(gains) ** 2
    standard_error = float(np.sqrt(variance))
    return PairedGain(mean, standard_error, float(stdtrit(count - 1, _CONFIDENCE)) * standard_error)

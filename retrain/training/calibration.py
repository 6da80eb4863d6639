"""Scores that mean what they say: of the images with a score of 0.9, nine in ten are right.

Guo et al., On Calibration of Modern Neural Networks, 2017, https://arxiv.org/abs/1706.04599:
logits are divided by one number, the temperature, that makes the held-out images likeliest. No
answer changes, only how sure it is.
"""

import numpy as np

from retrain.runtimes.head import Head

# In either direction; beyond these something else is wrong.
_MOST = 20.0


def calibrated(head: Head, unseen: np.ndarray, truth: np.ndarray) -> Head:
    """Returns `head` with the temperature in its weights; unchanged where there are no images.

    Args:
        head: that was trained.
        unseen: logits, float32 [N, classes], of images that whatever gave them has not learned
            from; may be empty.
        truth: their classes, int [N].
    """
    if not len(truth):
        return head
    divisor = temperature(unseen, truth)
    return Head(head.weights / np.float32(divisor), head.bias / np.float32(divisor))


def temperature(logits: np.ndarray, class_ids: np.ndarray) -> float:
    """Returns what to divide logits by.

    Args:
        logits: float32 [N, classes], N at least 1.
        class_ids: int [N], the truth.
    """
    from scipy.optimize import minimize_scalar

    below_best = logits - logits.max(axis=1, keepdims=True).astype(np.float64)

    def loss(log_temperature: float) -> float:
        # From logits, because the logarithm of a score that was rounded to 0 is infinite.
        divided = below_best / np.exp(log_temperature)
        of_truth = divided[np.arange(len(class_ids)), class_ids]
        unlikely = (np.log(np.exp(divided).sum(axis=1)) - of_truth).sum()
        # Where every image is right, ever higher scores would look ever better: that a
        # temperature is far from 1 must be shown by more than a few images.
        return float(unlikely) + log_temperature**2 / 2

    bound = np.log(_MOST)
    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))

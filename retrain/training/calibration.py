"""Temperature scaling: makes scores match the fraction of right answers.

All logits are divided by one number, the temperature, that maximises the likelihood of held-out
images. The predicted labels stay the same; only the scores change.

Guo et al., On Calibration of Modern Neural Networks, 2017, https://arxiv.org/abs/1706.04599
"""

import numpy as np

from retrain.runtimes.head import Head
from retrain.training.losses import cross_entropies_of_logits

# A temperature beyond this, or below its inverse, points to a problem that scaling cannot solve.
_MAX_TEMPERATURE = 20.0


def calibrate(head: Head, held_out_logits: np.ndarray, class_ids: np.ndarray) -> Head:
    """Returns `head` with its weights and bias divided by the fitted temperature.

    Args:
        head: The trained head. It is returned unchanged if there are no held-out images.
        held_out_logits: Logits of images that the model was not trained on, float32 [N, classes].
            N may be 0.
        class_ids: True classes of these images, int [N].
    """
    if not len(class_ids):
        return head
    temperature = np.float32(fit_temperature(held_out_logits, class_ids))
    return Head(head.weights / temperature, head.bias / temperature)


def fit_temperature(logits: np.ndarray, class_ids: np.ndarray) -> float:
    """Returns the temperature that maximises the likelihood of the true classes.

    Args:
        logits: Logits of held-out images, float32 [N, classes]. N must be at least 1.
        class_ids: True classes, int [N].
    """
    from scipy.optimize import minimize_scalar

    shifted = logits - logits.max(axis=1, keepdims=True).astype(np.float64)

    def loss(log_temperature: float) -> float:
        losses = cross_entropies_of_logits(shifted / np.exp(log_temperature), class_ids)
        # A weak prior at temperature 1. Without it, a few images that all get the right label
        # would drive the temperature to 0.
        return float(losses.sum()) + log_temperature**2 / 2

    bound = np.log(_MAX_TEMPERATURE)
    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))

"""The cross entropy of each image, from probabilities or from logits."""

import numpy as np


def cross_entropies(probabilities: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
    """Returns the cross entropy of each image in nats, float64 [N].

    Args:
        probabilities: Predicted probabilities, float32 [N, classes].
        class_ids: True classes, int [N].
    """
    true_probabilities = probabilities[np.arange(len(class_ids)), class_ids].astype(np.float64)
    # A probability that was rounded to 0 would otherwise have an infinite cross entropy.
    smallest = np.finfo(np.float32).tiny
    return -np.log(np.clip(true_probabilities, smallest, 1))


def cross_entropies_of_logits(logits: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
    """Returns the cross entropy of each image in nats, [N], in the dtype of the logits.

    It is finite for all finite logits, also if the probabilities would be rounded to 0.

    Args:
        logits: float32 or float64 [N, classes].
        class_ids: True classes, int [N].
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return log_sums - shifted[np.arange(len(class_ids)), class_ids]

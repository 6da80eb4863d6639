"""The best softmax layer for given vectors: logistic regression, its strength chosen by trial.

The weights minimise the cross entropy plus a penalty on their squares. Without the penalty they
would fit the training pictures alone; how strong it should be differs from data to data, so that
several are tried and the validation part decides.
"""

import logging
from collections.abc import Iterator, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from retrain.head import Examples, Head

# Inverse strengths of the penalty, in the scale that scikit-learn calls C, the simplest head first.
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# Between those that were best on several data sets, where there is nothing to choose by.
_USUAL_STRENGTH = 1e-2
_MAX_ITERATIONS = 300
# A feature that never differs tells nothing; it must not be divided by zero for that.
_SMALLEST_STDDEV = 1e-6


def train(training: Examples, validation: Examples, class_count: int) -> Head:
    """Returns the head of the strength that is best on the validation part.

    Features are standardised first, which lets one strength fit all of them; the head that is
    returned takes them as they are. Every category counts the same, however many pictures it has.

    Args:
        training: what is learned from; every category must occur.
        validation: what the strength is chosen by; may be empty.
        class_count: how many categories there are.
    """
    if not len(validation[1]):
        ((_, head),) = path(training, class_count, [_USUAL_STRENGTH])
        return head
    best, best_loss, best_strength = None, np.inf, 0.0
    for strength, head in path(training, class_count):
        loss = _cross_entropy(head.logits(validation[0]), validation[1]).mean()
        if best is not None and loss >= best_loss:
            break
        best, best_loss, best_strength = head, loss, strength
    logging.info("Chose C = %g, with a validation cross entropy of %.4f.", best_strength, best_loss)
    assert best is not None
    return best


def path(
    training: Examples, class_count: int, strengths: Sequence[float] = _STRENGTHS
) -> Iterator[tuple[float, Head]]:
    """Yields each strength with its head, the simplest first.

    Args:
        training: what is learned from; every category must occur.
        class_count: how many categories there are.
        strengths: the inverse of the penalty's, growing.
    """
    features, categories = training
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    stddev = np.maximum(features.std(axis=0, dtype=np.float64), _SMALLEST_STDDEV).astype(np.float32)
    standardised = (features - mean) / stddev
    head = _zero_head(features, class_count)
    for strength in strengths:
        # As in `head.train`: several threads would mostly wait for each other.
        with threadpool_limits(1, "blas"):
            # Beginning at the last head makes each fit a short one.
            head = _fit(standardised, categories, head, strength)
        yield strength, _unstandardised(head, mean, stddev)


def _zero_head(features: np.ndarray, class_count: int) -> Head:
    return Head(
        np.zeros((features.shape[1], class_count), np.float32), np.zeros(class_count, np.float32)
    )


def _fit(features: np.ndarray, categories: np.ndarray, begin: Head, strength: float) -> Head:
    """Minimises by L-BFGS (Liu and Nocedal, 1989)."""
    from scipy.optimize import minimize

    counts = np.bincount(categories)
    importance = (len(categories) / (len(counts) * counts)[categories]).astype(np.float32)
    rows = np.arange(len(categories))
    shape = begin.weights.shape

    def loss_and_gradient(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        head = _head(parameters, shape)
        logits = head.logits(features)
        loss = importance @ _cross_entropy(logits, categories)
        error = np.exp(logits - logits.max(axis=1, keepdims=True))
        error /= error.sum(axis=1, keepdims=True)
        error[rows, categories] -= 1
        error *= importance[:, np.newaxis]
        # The bias is free of the penalty: it says how common a category is.
        penalty = np.square(head.weights, dtype=np.float64).sum() / (2 * strength)
        by_weights = features.T @ error + head.weights / np.float32(strength)
        gradient = np.append(by_weights.ravel(), error.sum(axis=0))
        # Divided by their number, so that the optimiser's tolerances mean the same for all sizes.
        return (float(loss) + penalty) / len(rows), gradient.astype(np.float64) / len(rows)

    found = minimize(
        loss_and_gradient,
        np.append(begin.weights.ravel(), begin.bias).astype(np.float64),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_ITERATIONS},
    )
    return _head(found.x, shape)


def _head(parameters: np.ndarray, shape: tuple[int, ...]) -> Head:
    weights, bias = np.split(parameters.astype(np.float32), [shape[0] * shape[1]])
    return Head(weights.reshape(shape), bias)


def _unstandardised(head: Head, mean: np.ndarray, stddev: np.ndarray) -> Head:
    """Returns the head that gives for features what `head` gives for standardised ones."""
    weights = head.weights / stddev[:, np.newaxis]
    return Head(weights, head.bias - mean @ weights)


def _cross_entropy(logits: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Returns float32 [N], in nats."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return log_sums - shifted[np.arange(len(categories)), categories]

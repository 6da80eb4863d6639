"""The best softmax layer for given vectors: logistic regression, its strength chosen by trial.

The weights minimise the cross entropy plus a penalty on their squares. Without the penalty they
would fit the training pictures alone; how strong it should be differs from data to data, so that
several are tried and the validation part decides.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from retrain.head import Examples, Head, softmax
from retrain.runtime import parallel_map, processors

# Inverse strengths of the penalty, in the scale that scikit-learn calls C, the simplest head first.
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# Between those that were best on several data sets, where there is nothing to choose by.
_USUAL_STRENGTH = 1e-2
_MAX_ITERATIONS = 300
# By which the loss must fall in an iteration, relative to itself. With less it takes twice as long,
# and is right as often.
_TOLERANCE = 1e-6
# Of the root mean square of all standard deviations. Features that vary less are not enlarged more:
# what they differ by is noise, and that of another engine or decoder would be enlarged as well.
# On pictures of digits by hand, this gains 0.6 points of accuracy.
_SMALLEST_STDDEV = 0.2

# More of them do not choose another strength, but take longer to choose by.
_MOST_TO_CHOOSE_BY = 50_000
# Of the last fit to all, which begins near its end.
_MAX_LAST_ITERATIONS = 10

_ROWS_AT_A_TIME = 8192
# Features that are kept in float32, when they fit; larger ones are converted in each iteration.
_MOST_BYTES_CONVERTED = 1 << 30


class _Problem(NamedTuple):
    """What a head is fitted to.

    Attributes:
        features: float16 or float32 [N, width].
        categories: int [N].
        importance: of each example, float32 [N].
        mean: of each feature, float32 [width].
        stddev: what each feature is divided by, float32 [width].
    """

    features: np.ndarray
    categories: np.ndarray
    importance: np.ndarray
    mean: np.ndarray
    stddev: np.ndarray


def train(
    training: Examples,
    validation: Examples,
    class_count: int,
    shares: np.ndarray | None = None,
    variants: int = 1,
) -> Head:
    """Returns the head of the strength with the fewest errors on the validation part.

    Where several have as few, the likeliest of them is taken.

    Features are standardised for it, which lets one strength fit all of them; the head that is
    returned takes them as they are.

    Args:
        training: what is learned from; every category must occur.
        validation: what the strength is chosen by; may be empty.
        class_count: how many categories there are.
        shares: of each category in what is learned, float [class_count] with the sum 1; equal ones
            where None.
        variants: examples that come from one picture, and count as one together.
    """
    count = len(training[1])
    chosen_by = training
    if count > _MOST_TO_CHOOSE_BY:
        rows = np.sort(np.random.default_rng(0).permutation(count)[:_MOST_TO_CHOOSE_BY])
        chosen_by = training[0][rows], training[1][rows]
    strength, head = _chosen(chosen_by, validation, class_count, shares, variants)
    if count > _MOST_TO_CHOOSE_BY:
        problem = _problem(training, class_count, shares, variants)
        head = _fitted(problem, head, strength, _MAX_LAST_ITERATIONS)
    return head


def _chosen(
    training: Examples,
    validation: Examples,
    class_count: int,
    shares: np.ndarray | None,
    variants: int,
) -> tuple[float, Head]:
    if not len(validation[1]):
        ((strength, head),) = path(training, class_count, shares, variants, [_USUAL_STRENGTH])
        return strength, head
    tried = []
    for strength, head in path(training, class_count, shares, variants):
        logits = head.logits(validation[0])
        errors = int((logits.argmax(axis=1) != validation[1]).sum())
        tried.append((errors, _cross_entropy(logits, validation[1]).mean(), strength, head))
    errors, loss, strength, head = min(tried, key=lambda one: one[:2])
    logging.info("Chose C = %g, with a validation cross entropy of %.4f.", strength, loss)
    return strength, head


def path(
    training: Examples,
    class_count: int,
    shares: np.ndarray | None = None,
    variants: int = 1,
    strengths: Sequence[float] = _STRENGTHS,
) -> Iterator[tuple[float, Head]]:
    """Yields each strength with its head, the simplest first.

    Args:
        training: what is learned from; every category must occur.
        class_count: how many categories there are.
        shares: as for `train`.
        variants: as for `train`.
        strengths: the inverse of the penalty's, growing.
    """
    problem = _problem(training, class_count, shares, variants)
    width = problem.features.shape[1]
    head = Head(np.zeros((width, class_count), np.float32), np.zeros(class_count, np.float32))
    for strength in strengths:
        # Beginning at the last head makes each fit a short one.
        head = _fitted(problem, head, strength, _MAX_ITERATIONS)
        yield strength, head


def _problem(
    training: Examples, class_count: int, shares: np.ndarray | None, variants: int
) -> _Problem:
    features, categories = training
    if 4 * features.size <= _MOST_BYTES_CONVERTED:
        features = features.astype(np.float32, copy=False)
    counts = np.bincount(categories, minlength=class_count)
    if shares is None:
        shares = np.full(class_count, 1 / class_count)
    importance = (shares * len(categories) / variants / counts)[categories].astype(np.float32)
    return _Problem(features, categories, importance, *_mean_and_stddev(features))


def _mean_and_stddev(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count, width = features.shape
    total = np.zeros(width)
    squares = np.zeros(width)
    for rows in _pieces(count):
        piece = features[rows].astype(np.float64)
        total += piece.sum(axis=0)
        squares += np.square(piece).sum(axis=0)
    mean = total / count
    variance = np.maximum(squares / count - np.square(mean), 0)
    # Where nothing differs at all, no division does anything.
    smallest = _SMALLEST_STDDEV * np.sqrt(variance.mean()) or 1.0
    return mean.astype(np.float32), np.maximum(np.sqrt(variance), smallest).astype(np.float32)


def _pieces(count: int) -> list[slice]:
    return [slice(i, i + _ROWS_AT_A_TIME) for i in range(0, count, _ROWS_AT_A_TIME)]


def _fitted(problem: _Problem, begin: Head, strength: float, iterations: int) -> Head:
    """Minimises by L-BFGS (Liu and Nocedal, 1989), over the weights of standardised features."""
    from scipy.optimize import minimize

    count, shape = len(problem.categories), begin.weights.shape
    pieces = _pieces(count)
    workers = min(processors(), len(pieces))

    def loss_and_gradient(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        standardised = _head(parameters, shape)
        head = _for_features(standardised, problem)
        # The penalty is on the weights of standardised features; the bias is free of it: it says
        # how common a category is.
        loss = np.square(standardised.weights, dtype=np.float64).sum() / (2 * strength)
        by_weights = np.zeros(shape, np.float64)
        by_bias = np.zeros(shape[1], np.float64)
        parts = parallel_map(lambda rows: _part(problem, head, rows), pieces, workers)
        for part_loss, part_by_weights, part_by_bias in parts:
            loss += part_loss
            by_weights += part_by_weights
            by_bias += part_by_bias
        by_weights -= np.outer(problem.mean, by_bias)
        by_weights /= problem.stddev[:, np.newaxis]
        by_weights += standardised.weights / strength
        # Divided by their number, so that the optimiser's tolerances mean the same for all sizes.
        return loss / count, np.append(by_weights.ravel(), by_bias) / count

    standardised = _for_standardised(begin, problem)
    # As in `head.train`, several threads in one product would mostly wait for each other.
    with threadpool_limits(1, "blas"):
        found = minimize(
            loss_and_gradient,
            np.append(standardised.weights.ravel(), standardised.bias).astype(np.float64),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": iterations, "ftol": _TOLERANCE},
        )
    return _for_features(_head(found.x, shape), problem)


def _part(problem: _Problem, head: Head, rows: slice) -> tuple[float, np.ndarray, np.ndarray]:
    """Returns the loss of some examples, and its gradients by the weights and the bias."""
    features = problem.features[rows].astype(np.float32, copy=False)
    categories, importance = problem.categories[rows], problem.importance[rows]
    logits = features @ head.weights + head.bias
    loss = importance.astype(np.float64) @ _cross_entropy(logits, categories)
    error = softmax(logits)
    error[np.arange(len(categories)), categories] -= 1
    error *= importance[:, np.newaxis]
    return float(loss), features.T @ error, error.sum(axis=0, dtype=np.float64)


def _head(parameters: np.ndarray, shape: tuple[int, ...]) -> Head:
    weights, bias = np.split(parameters.astype(np.float32), [shape[0] * shape[1]])
    return Head(weights.reshape(shape), bias)


def _for_features(standardised: Head, problem: _Problem) -> Head:
    """Returns the head that gives for features what `standardised` gives for standardised ones."""
    weights = standardised.weights / problem.stddev[:, np.newaxis]
    return Head(weights, standardised.bias - problem.mean @ weights)


def _for_standardised(head: Head, problem: _Problem) -> Head:
    """Returns the contrary of `_for_features`."""
    weights = head.weights * problem.stddev[:, np.newaxis]
    return Head(weights, head.bias + problem.mean @ head.weights)


def _cross_entropy(logits: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Returns float32 [N], in nats."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return log_sums - shifted[np.arange(len(categories)), categories]

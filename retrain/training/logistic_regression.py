"""The best softmax layer for given vectors: logistic regression, its strength chosen by trial.

The weights minimise the cross entropy plus a penalty on their squares. Without the penalty they
would fit the training images alone; how strong it should be differs from data to data. So several
are tried by cross-validation: a quarter of the training images is left out in turn and judges,
together with a quarter of the validation part, what the others taught. That is ten times as many
judges as the validation part has, and the same images tell how sure the head may be.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from retrain.runtimes.head import Head, softmax
from retrain.system.threads import parallel_map, processors
from retrain.training.history import Measures, TrainingHistory
from retrain.training.sgd import Examples

# Inverse strengths of the penalty, in the scale that scikit-learn calls C, the simplest head first.
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_FOLDS = 4
_MAX_ITERATIONS = 300
# By which the loss must fall in an iteration, relative to itself. With less it takes twice as long,
# and is right as often.
_TOLERANCE = 1e-6
# Of the root mean square of all standard deviations. Features that vary less are not enlarged more:
# what they differ by is noise, and that of another engine or decoder would be enlarged as well.
# On images of digits by hand, this gains 0.6 points of accuracy.
_SMALLEST_STDDEV = 0.2

# More of them do not choose another strength, but take longer to choose by.
_MOST_TO_CHOOSE_BY = 20_000
# Of the last fit to all, which begins near its end.
_MAX_LAST_ITERATIONS = 10

_ROWS_AT_A_TIME = 8192
# Features that are kept in float32, when they fit; larger ones are converted in each iteration.
_MOST_BYTES_CONVERTED = 1 << 30


class _Problem(NamedTuple):
    """What a head is fitted to.

    Attributes:
        features: float16 or float32 [N, width].
        class_ids: int [N].
        importance: of each example, float32 [N].
        mean: of each feature, float32 [width].
        stddev: what each feature is divided by, float32 [width].
    """

    features: np.ndarray
    class_ids: np.ndarray
    importance: np.ndarray
    mean: np.ndarray
    stddev: np.ndarray


class Fitted(NamedTuple):
    """A head, and what heads of its strength say of images that they have not learned from.

    Attributes:
        head: fitted to all training examples.
        strength: that was chosen for it.
        unseen: logits, float32 [M, classes], of such images.
        truth: their classes, int [M].
        history: how good heads of all strengths are on such images, and on others.
    """

    head: Head
    strength: float
    unseen: np.ndarray
    truth: np.ndarray
    history: TrainingHistory


class _Judged(NamedTuple):
    """Heads of all strengths, fitted without some images, and what they say of them.

    Attributes:
        logits: of the images left out, float32 [M, classes], by each strength.
        truth: their classes, int [M].
        right: how many of the images learned from get the right label, by each strength.
        losses: sum of their cross entropies, by each strength.
        learned: how many these are.
    """

    logits: list[np.ndarray]
    truth: np.ndarray
    right: list[int]
    losses: list[float]
    learned: int


def train(
    training: Examples,
    validation: Examples,
    class_count: int,
    shares: np.ndarray | None = None,
    variants: int = 1,
    seed: int = 0,
    apart: bool = False,
) -> Fitted:
    """Returns the head of the strength with the fewest errors on images that were left out.

    Where several have as few, the likeliest of them is taken.

    Features are standardised for it, which lets one strength fit all of them; the head that is
    returned takes them as they are.

    Args:
        training: what is learned from; every class must occur.
        validation: images that judge, too; may be empty.
        class_count: how many classes there are.
        shares: of each class in what is learned, float [class_count] with the sum 1; equal ones
            where None.
        variants: examples that come from one image, stand together, and count as one; the first
            is the image as it is.
        seed: of what is left out when.
        apart: whether validation images alone judge, of which there are some then. Where what
            makes the features has learned from the training images, those are all told apart.
    """
    # It brings a BLAS of its own, whose threads can be limited once it is loaded.
    import scipy.optimize  # noqa: F401

    chosen_by = _some_images(training, variants, seed)
    # Several threads in one product would mostly wait for each other; the folds keep them busy.
    with threadpool_limits(1, "blas"):
        strength, logits, truth, history = _chosen(
            chosen_by, validation, class_count, shares, variants, seed, apart
        )
        up_to = [other for other in _STRENGTHS if other <= strength]
        *_, (_, head) = path(chosen_by, class_count, shares, variants, up_to)
        if len(chosen_by[1]) < len(training[1]):
            problem = _problem(training, class_count, shares, variants)
            head = _fitted(problem, head, strength, _MAX_LAST_ITERATIONS)
    return Fitted(head, strength, logits, truth, history)


def _chosen(
    training: Examples,
    validation: Examples,
    class_count: int,
    shares: np.ndarray | None,
    variants: int,
    seed: int,
    apart: bool,
) -> tuple[float, np.ndarray, np.ndarray, TrainingHistory]:
    def judge(fold: int | None) -> _Judged:
        return _judged_by_others(training, validation, class_count, shares, variants, fold, seed)

    folds: Sequence[int | None] = [None] if apart else range(_FOLDS)
    judged = list(parallel_map(judge, folds, min(processors(), len(folds))))
    truth = np.concatenate([fold.truth for fold in judged])
    tried = []
    for number, strength in enumerate(_STRENGTHS):
        logits = np.concatenate([fold.logits[number] for fold in judged])
        errors = int((logits.argmax(axis=1) != truth).sum())
        tried.append((errors, float(_cross_entropy(logits, truth).sum()), strength, logits))
    errors, _, strength, logits = min(tried, key=lambda one: one[:2])
    logging.info(
        "%s, %d of %d images get the right label (C = %g).",
        "In the validation part" if apart else "Left out in turn",
        len(truth) - errors,
        len(truth),
        strength,
    )
    others = [(len(truth) - errors, loss) for errors, loss, *_ in tried]
    learned = [
        (sum(fold.right[number] for fold in judged), sum(fold.losses[number] for fold in judged))
        for number in range(len(_STRENGTHS))
    ]
    history = TrainingHistory(
        _STRENGTHS,
        _measures(learned, sum(fold.learned for fold in judged)),
        _measures(others, len(truth)) if len(truth) else None,
        strength,
        "validation" if apart else "left out in turn",
    )
    return strength, logits, truth, history


def _measures(sums: Sequence[tuple[int, float]], count: int) -> Measures:
    return Measures(
        tuple(right / count for right, _ in sums), tuple(loss / count for _, loss in sums)
    )


def _some_images(training: Examples, variants: int, seed: int) -> Examples:
    """Returns as many images as are worth choosing by, with all variants, of every class."""
    features, class_ids = training
    most = max(1, _MOST_TO_CHOOSE_BY // variants)
    if len(class_ids) <= most * variants:
        return training
    of_images = class_ids[::variants]
    images = np.sort(np.argsort(_ranks(of_images, seed), kind="stable")[:most])
    rows = (images[:, np.newaxis] * variants + np.arange(variants)).ravel()
    return features[rows], class_ids[rows]


def _ranks(class_ids: np.ndarray, seed: int) -> np.ndarray:
    """Returns for each image how many of its class come before it, in a random order."""
    order = np.random.default_rng(seed).permutation(len(class_ids))
    ranks = np.empty(len(class_ids), np.int64)
    for class_id in np.unique(class_ids):
        of_it = order[class_ids[order] == class_id]
        ranks[of_it] = np.arange(len(of_it))
    return ranks


def _judged_by_others(
    training: Examples,
    validation: Examples,
    class_count: int,
    shares: np.ndarray | None,
    variants: int,
    fold: int | None,
    seed: int,
) -> _Judged:
    """Returns what all others say of a fold's images, or of the validation part for None."""
    features, class_ids = training
    ranks = _ranks(class_ids[::variants], seed)
    # Where a class has one image, that one is always learned from.
    alone = np.bincount(class_ids, minlength=class_count)[class_ids[::variants]] == variants
    left_out = (ranks % _FOLDS == fold) & ~alone
    learned = ~np.repeat(left_out, variants)
    watching = slice(None) if fold is None else slice(fold, None, _FOLDS)
    judges = (
        np.concatenate([features[::variants][left_out], validation[0][watching]]),
        np.concatenate([class_ids[::variants][left_out], validation[1][watching]]),
    )
    rest = features[learned], class_ids[learned]
    as_they_are, truth = rest[0][::variants], rest[1][::variants]
    judged = _Judged([], judges[1], [], [], len(truth))
    for _, head in path(rest, class_count, shares, variants):
        judged.logits.append(head.logits(judges[0]))
        of_learned = head.logits(as_they_are)
        judged.right.append(int((of_learned.argmax(axis=1) == truth).sum()))
        judged.losses.append(float(_cross_entropy(of_learned, truth).sum()))
    return judged


def path(
    training: Examples,
    class_count: int,
    shares: np.ndarray | None = None,
    variants: int = 1,
    strengths: Sequence[float] = _STRENGTHS,
) -> Iterator[tuple[float, Head]]:
    """Yields each strength with its head, the simplest first.

    Args:
        training: what is learned from; every class must occur.
        class_count: how many classes there are.
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
    features, class_ids = training
    if 4 * features.size <= _MOST_BYTES_CONVERTED:
        features = features.astype(np.float32, copy=False)
    counts = np.bincount(class_ids, minlength=class_count)
    if shares is None:
        shares = np.full(class_count, 1 / class_count)
    importance = (shares * len(class_ids) / variants / counts)[class_ids].astype(np.float32)
    return _Problem(features, class_ids, importance, *_mean_and_stddev(features))


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

    count, shape = len(problem.class_ids), begin.weights.shape
    pieces = _pieces(count)
    workers = min(processors(), len(pieces))

    def loss_and_gradient(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        standardised = _head(parameters, shape)
        head = _for_features(standardised, problem)
        # The penalty is on the weights of standardised features; the bias is free of it: it says
        # how common a class is.
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
    class_ids, importance = problem.class_ids[rows], problem.importance[rows]
    logits = features @ head.weights + head.bias
    loss = importance.astype(np.float64) @ _cross_entropy(logits, class_ids)
    error = softmax(logits)
    error[np.arange(len(class_ids)), class_ids] -= 1
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


def _cross_entropy(logits: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
    """Returns float32 [N], in nats."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return log_sums - shifted[np.arange(len(class_ids)), class_ids]

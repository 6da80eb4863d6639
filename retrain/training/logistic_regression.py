"""Multinomial logistic regression with an L2 penalty, fitted by L-BFGS.

Features are standardised for the fit. The standardisation is folded into the weights that are
returned.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from retrain.runtimes.head import Head, softmax
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map
from retrain.training.losses import cross_entropies_of_logits
from retrain.training.standardisation import Standardisation, fit_standardisation, row_chunks
from retrain.training.training_set import TrainingSet

# Inverse regularisation strengths, scaled like scikit-learn's C, from the strongest penalty.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)

_MAX_ITERATIONS = 300
# Relative decrease of the loss at which the optimiser stops. Smaller values take twice as long and
# do not increase the accuracy.
_TOLERANCE = 1e-6
# Features are converted to float32 once if they fit into so many bytes, else in each iteration.
_MAX_CONVERTED_BYTES = 1 << 30


class _Problem(NamedTuple):
    """The optimisation problem of one training set.

    Attributes:
        features: float16 or float32 [N, width].
        class_ids: int [N].
        sample_weights: Weight of each row in the loss, float32 [N].
        standardisation: Standardisation of the features.
    """

    features: np.ndarray
    class_ids: np.ndarray
    sample_weights: np.ndarray
    standardisation: Standardisation


def fit(training: TrainingSet, strength: float) -> Head:
    """Returns the head fitted at one strength, the last of the path that leads to it."""
    *_, head = fit_path(training, [value for value in STRENGTHS if value <= strength])
    return head


def fit_path(training: TrainingSet, strengths: Sequence[float] = STRENGTHS) -> Iterator[Head]:
    """Yields the head fitted at each strength, from the strongest penalty.

    Args:
        training: Training set to fit.
        strengths: Inverse regularisation strengths, in increasing order.
    """
    problem = _define_problem(training)
    shape = problem.features.shape[1], training.class_count
    head = Head(np.zeros(shape, np.float32), np.zeros(shape[1], np.float32))
    for strength in strengths:
        # A fit that starts from the last head needs few iterations.
        head = _minimise(problem, head, strength, _MAX_ITERATIONS)
        yield head


def refine(training: TrainingSet, head: Head, strength: float, *, max_iterations: int) -> Head:
    """Returns the head that is fitted to `training`, starting from `head`.

    Args:
        training: Training set to fit.
        head: Head to start from.
        strength: Inverse regularisation strength.
        max_iterations: Number of iterations after which the optimiser stops.
    """
    return _minimise(_define_problem(training), head, strength, max_iterations)


def _define_problem(training: TrainingSet) -> _Problem:
    features, class_ids = training.features, training.class_ids
    if 4 * features.size <= _MAX_CONVERTED_BYTES:
        features = features.astype(np.float32, copy=False)
    counts = np.bincount(class_ids, minlength=training.class_count)
    shares = training.class_shares
    if shares is None:
        shares = np.full(training.class_count, 1 / training.class_count)
    weights = (shares * len(class_ids) / training.variants / counts)[class_ids].astype(np.float32)
    standardisation = fit_standardisation(
        features, training.stage_widths, image_count=len(class_ids) // training.variants
    )
    return _Problem(features, class_ids, weights, standardisation)


def _minimise(problem: _Problem, start: Head, strength: float, max_iterations: int) -> Head:
    """Minimises the loss over the weights of standardised features.

    Liu and Nocedal, On the Limited Memory BFGS Method for Large Scale Optimization, 1989
    """
    from scipy.optimize import minimize

    count, shape = len(problem.class_ids), start.weights.shape
    mean, stddev = problem.standardisation
    chunks = row_chunks(count)
    workers = min(processor_count(), len(chunks))

    def loss_and_gradient(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        standardised = _unflatten(parameters, shape)
        head = problem.standardisation.fold(standardised)
        # Only the weights are penalised: the bias states how frequent a class is.
        loss = np.square(standardised.weights, dtype=np.float64).sum() / (2 * strength)
        weight_gradient = np.zeros(shape, np.float64)
        bias_gradient = np.zeros(shape[1], np.float64)
        parts = parallel_map(lambda rows: _loss_and_gradient(problem, head, rows), chunks, workers)
        for chunk_loss, chunk_weight_gradient, chunk_bias_gradient in parts:
            loss += chunk_loss
            weight_gradient += chunk_weight_gradient
            bias_gradient += chunk_bias_gradient
        weight_gradient -= np.outer(mean, bias_gradient)
        weight_gradient /= stddev[:, np.newaxis]
        weight_gradient += standardised.weights / strength
        # Divided by the number of rows, so that the tolerance means the same at every size.
        return loss / count, np.append(weight_gradient.ravel(), bias_gradient) / count

    standardised = problem.standardisation.unfold(start)
    result = minimize(
        loss_and_gradient,
        np.append(standardised.weights.ravel(), standardised.bias).astype(np.float64),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iterations, "ftol": _TOLERANCE},
    )
    return problem.standardisation.fold(_unflatten(result.x, shape))


def _loss_and_gradient(
    problem: _Problem, head: Head, rows: slice
) -> tuple[float, np.ndarray, np.ndarray]:
    """Returns the loss of some rows, and its gradients with respect to weights and bias."""
    features = problem.features[rows].astype(np.float32, copy=False)
    class_ids, weights = problem.class_ids[rows], problem.sample_weights[rows]
    logits = features @ head.weights + head.bias
    loss = weights.astype(np.float64) @ cross_entropies_of_logits(logits, class_ids)
    error = softmax(logits)
    error[np.arange(len(class_ids)), class_ids] -= 1
    error *= weights[:, np.newaxis]
    return float(loss), features.T @ error, error.sum(axis=0, dtype=np.float64)


def _unflatten(parameters: np.ndarray, shape: tuple[int, ...]) -> Head:
    weights, bias = np.split(parameters.astype(np.float32), [shape[0] * shape[1]])
    return Head(weights.reshape(shape), bias)

"""Multinomial logistic regression with an L2 penalty, fitted by L-BFGS.

Features are standardised for the fit, so that one regularisation strength suits all of them. The
standardisation is folded into the weights that are returned.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from retrain.runtimes.head import Head, softmax
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map
from retrain.training.losses import cross_entropies_of_logits

# Inverse regularisation strengths, scaled like scikit-learn's C, from the strongest penalty.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)

_MAX_ITERATIONS = 300
# Relative decrease of the loss at which the optimiser stops. Smaller values take twice as long and
# do not increase the accuracy.
_TOLERANCE = 1e-6
# Smallest divisor of a feature, relative to the root mean square of all standard deviations in its
# stage. A feature that varies less is not scaled up further: its variation is noise, and the noise
# of another engine or decoder would be scaled up as well. This gains 0.6 points of accuracy on
# images of handwritten digits.
_MIN_RELATIVE_STDDEV = 0.2
# Number of images at which the variance of a feature counts as much as the mean variance in its
# stage. The variances in a few images are mostly noise. Without this prior, 5 images of each class
# lose up to 3 points of accuracy; large data sets gain a little by it, too. The measurements are in
# docs/performance.md.
_PRIOR_IMAGES = 300

_ROWS_AT_A_TIME = 8192
# Features are converted to float32 once if they fit into so many bytes, else in each iteration.
_MAX_CONVERTED_BYTES = 1 << 30


@dataclass(frozen=True)
class TrainingSet:
    """Features and classes that a head is fitted to.

    Attributes:
        features: float16 or float32 [N, width]. The variants of an image are consecutive; the
            first of them is the undistorted image.
        class_ids: int [N], 0 to class_count - 1. Every class must occur.
        class_count: Number of classes.
        class_shares: Share of each class in the loss, float [class_count] with sum 1; equal
            shares if None.
        variants: Number of consecutive rows that come from one image and together count as one.
        stage_widths: Number of features of each earlier stage, after those of the last layer.
        groups: Number of each image's group, int [images]. No cross-validation divides a group.
            None if each image is a group of its own.
    """

    features: np.ndarray
    class_ids: np.ndarray
    class_count: int
    class_shares: np.ndarray | None = None
    variants: int = 1
    stage_widths: tuple[int, ...] = ()
    groups: np.ndarray | None = None

    @property
    def image_class_ids(self) -> np.ndarray:
        """Class of each image, int [images]."""
        return self.class_ids[:: self.variants]

    @property
    def undistorted_features(self) -> np.ndarray:
        """Features of the undistorted images, float16 or float32 [images, width]."""
        return self.features[:: self.variants]

    def select_images(self, images: np.ndarray) -> "TrainingSet":
        """Returns some of the images with all of their variants.

        Args:
            images: Indices of images, int [M], or a mask, bool [images].
        """
        numbers = np.arange(len(self.image_class_ids))[images]
        rows = (numbers[:, np.newaxis] * self.variants + np.arange(self.variants)).ravel()
        return dataclasses.replace(
            self,
            features=self.features[rows],
            class_ids=self.class_ids[rows],
            groups=None if self.groups is None else self.groups[images],
        )

    def without_stages(self) -> "TrainingSet":
        """Returns the training set with the features of the last layer only."""
        width = self.features.shape[1] - sum(self.stage_widths)
        return dataclasses.replace(self, features=self.features[:, :width], stage_widths=())


@dataclass(frozen=True)
class _Problem:
    """The optimisation problem of one training set.

    Attributes:
        features: float16 or float32 [N, width].
        class_ids: int [N].
        sample_weights: Weight of each row in the loss, float32 [N].
        mean: Mean of each feature, float32 [width].
        stddev: Divisor of each feature, float32 [width].
    """

    features: np.ndarray
    class_ids: np.ndarray
    sample_weights: np.ndarray
    mean: np.ndarray
    stddev: np.ndarray


def fit_path(
    training: TrainingSet, strengths: Sequence[float] = STRENGTHS
) -> Iterator[tuple[float, Head]]:
    """Yields each strength with the head fitted at it, from the strongest penalty.

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
        yield strength, head


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
    mean, variance = _mean_and_variance(features)
    starts = features.shape[1] - np.cumsum(training.stage_widths[::-1], dtype=int)[::-1]
    image_count = len(class_ids) // training.variants
    divisors = [_divisors(stage, image_count) for stage in np.split(variance, starts)]
    return _Problem(
        features,
        class_ids,
        weights,
        mean.astype(np.float32),
        np.concatenate(divisors).astype(np.float32),
    )


def _mean_and_variance(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count, width = features.shape
    total = np.zeros(width)
    squares = np.zeros(width)
    for rows in _chunks(count):
        chunk = features[rows].astype(np.float64)
        total += chunk.sum(axis=0)
        squares += np.square(chunk).sum(axis=0)
    mean = total / count
    return mean, np.maximum(squares / count - np.square(mean), 0)


def _divisors(variance: np.ndarray, image_count: int) -> np.ndarray:
    """Returns the divisor of each feature of a stage: its standard deviation, roughly."""
    mean_variance = variance.mean()
    if not mean_variance:
        return np.ones_like(variance)  # No feature varies at all, so any divisor is as good.
    limited = np.maximum(variance, _MIN_RELATIVE_STDDEV**2 * mean_variance)
    total = image_count * limited + _PRIOR_IMAGES * mean_variance
    return np.sqrt(total / (image_count + _PRIOR_IMAGES))


def _chunks(count: int) -> list[slice]:
    return [slice(i, i + _ROWS_AT_A_TIME) for i in range(0, count, _ROWS_AT_A_TIME)]


def _minimise(problem: _Problem, start: Head, strength: float, max_iterations: int) -> Head:
    """Minimises the loss over the weights of standardised features.

    Liu and Nocedal, On the Limited Memory BFGS Method for Large Scale Optimization, 1989
    """
    from scipy.optimize import minimize

    count, shape = len(problem.class_ids), start.weights.shape
    chunks = _chunks(count)
    workers = min(processor_count(), len(chunks))

    def loss_and_gradient(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        standardised = _unflatten(parameters, shape)
        head = _fold_standardisation(standardised, problem)
        # Only the weights are penalised: the bias states how frequent a class is.
        loss = np.square(standardised.weights, dtype=np.float64).sum() / (2 * strength)
        weight_gradient = np.zeros(shape, np.float64)
        bias_gradient = np.zeros(shape[1], np.float64)
        parts = parallel_map(lambda rows: _loss_and_gradient(problem, head, rows), chunks, workers)
        for chunk_loss, chunk_weight_gradient, chunk_bias_gradient in parts:
            loss += chunk_loss
            weight_gradient += chunk_weight_gradient
            bias_gradient += chunk_bias_gradient
        weight_gradient -= np.outer(problem.mean, bias_gradient)
        weight_gradient /= problem.stddev[:, np.newaxis]
        weight_gradient += standardised.weights / strength
        # Divided by the number of rows, so that the tolerance means the same at every size.
        return loss / count, np.append(weight_gradient.ravel(), bias_gradient) / count

    standardised = _unfold_standardisation(start, problem)
    result = minimize(
        loss_and_gradient,
        np.append(standardised.weights.ravel(), standardised.bias).astype(np.float64),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iterations, "ftol": _TOLERANCE},
    )
    return _fold_standardisation(_unflatten(result.x, shape), problem)


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


def _fold_standardisation(standardised: Head, problem: _Problem) -> Head:
    """Converts a head for standardised features to an equivalent one for features."""
    weights = standardised.weights / problem.stddev[:, np.newaxis]
    return Head(weights, standardised.bias - problem.mean @ weights)


def _unfold_standardisation(head: Head, problem: _Problem) -> Head:
    """Converts a head for features to an equivalent one for standardised features."""
    weights = head.weights * problem.stddev[:, np.newaxis]
    return Head(weights, head.bias + problem.mean @ head.weights)

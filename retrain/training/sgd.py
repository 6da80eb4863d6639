"""Trains a head by stochastic gradient descent, as TensorFlow's `examples/image_retraining` does.

Plain gradient descent minimises the mean cross entropy of small batches. Every class is equally
likely in a batch, unless class shares say otherwise.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from retrain.errors import UserError
from retrain.runtimes.head import Head
from retrain.training.step_metrics import Examples, StepMetrics, measure
from retrain.training_options import HeadOptions

# Receives the number of each step of gradient descent, and the head after it.
OnStep: TypeAlias = Callable[[int, Head], None]

_INITIAL_STDDEV = 0.001

# Sampling the rows of many steps at once takes a tenth of the time of sampling step by step.
_ROWS_SAMPLED_AT_ONCE = 1 << 16


def train(
    training: Examples,
    validation: Examples,
    class_count: int,
    options: HeadOptions,
    *,
    class_shares: np.ndarray | None = None,
    batch_features: Callable[[np.ndarray], np.ndarray] | None = None,
    on_evaluation: Callable[[StepMetrics], None] = lambda metrics: None,
    on_step: OnStep = lambda step, head: None,
) -> Head:
    """Returns a trained head.

    The same arguments give the same head, bit for bit, on the same machine. Evaluation does not
    affect the result.

    Args:
        training: Training examples. Every class must occur.
        validation: Examples to evaluate on during training; may be empty.
        class_count: Number of classes.
        options: Hyperparameters.
        class_shares: Share of each class in the batches, float [class_count] with sum 1; equal
            shares if None.
        batch_features: Returns the features of a batch, float32 [size, width], for the indices of
            its training examples, int [size]. By default the features are those in `training`.
        on_evaluation: Receives metrics after every `eval_step_interval`th step, from step 0, and
            after the last step.
        on_step: Receives the number of each step, from 0, and the head after it.

    Raises:
        UserError: If the weights diverge.
        ValueError: If a class has no training examples.
    """
    _check_class_ids(training, class_count)
    # Independent streams: a change to one kind of sampling does not affect the others.
    initial_rng, train_rng, validation_rng = np.random.default_rng(options.seed).spawn(3)
    train_batches = _sample_batches(training[1], options.train_batch_size, train_rng, class_shares)
    validation_batches = _sample_batches(
        validation[1], options.validation_batch_size, validation_rng
    )
    head = _initial_head(training[0].shape[1], class_count, initial_rng)
    for step, rows in enumerate(itertools.islice(train_batches, options.steps)):
        batch = _take(training, rows)
        if batch_features:
            batch = (batch_features(rows), batch[1])
        head = _descend(head, batch, options.learning_rate)
        if step % options.eval_step_interval == 0 or step == options.steps - 1:
            validation_rows = next(validation_batches, None)
            metrics = measure(
                step,
                head,
                batch,
                None if validation_rows is None else _take(validation, validation_rows),
            )
            _check_finite(metrics, options.learning_rate)
            on_evaluation(metrics)
        on_step(step, head)
    return head


def _check_class_ids(training: Examples, class_count: int) -> None:
    counts = np.bincount(training[1], minlength=class_count)
    if len(counts) != class_count or not counts.all():
        raise ValueError(f"expected training examples of {class_count} classes, got {counts}")


def _initial_head(width: int, class_count: int, rng: np.random.Generator) -> Head:
    """Returns weights from a truncated normal distribution, and a bias of zeros."""
    values = rng.standard_normal((width, class_count), np.float32)
    while (too_large := np.abs(values) > 2).any():
        values[too_large] = rng.standard_normal(np.count_nonzero(too_large), np.float32)
    return Head(values * np.float32(_INITIAL_STDDEV), np.zeros(class_count, np.float32))


def _take(examples: Examples, rows: np.ndarray) -> Examples:
    features, class_ids = examples
    return features[rows].astype(np.float32, copy=False), class_ids[rows]


def _sample_batches(
    class_ids: np.ndarray,
    size: int,
    rng: np.random.Generator,
    class_shares: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Yields the row numbers of batches without end, or nothing if there are no rows.

    For each row a class is sampled first, then one of the rows of that class. So small classes
    count as much as large ones, unless `class_shares` differ. A size of -1 means all rows.
    """
    if not len(class_ids):
        return
    if size == -1:
        yield from itertools.repeat(np.arange(len(class_ids)))
    sorted_rows = np.argsort(class_ids, kind="stable")
    _, begins, counts = np.unique(class_ids[sorted_rows], return_index=True, return_counts=True)
    shape = (max(_ROWS_SAMPLED_AT_ONCE // size, 1), size)
    while True:
        if class_shares is None:
            sampled = rng.integers(len(counts), size=shape)
        else:
            sampled = rng.choice(len(counts), size=shape, p=class_shares)
        yield from sorted_rows[begins[sampled] + rng.integers(counts[sampled])]


# If the weights diverge, the UserError explains more than NumPy's warnings.
@np.errstate(over="ignore", invalid="ignore")
def _descend(head: Head, batch: Examples, learning_rate: float) -> Head:
    """Returns the head after one step of gradient descent."""
    features, class_ids = batch
    # Gradient of the cross entropy with respect to the logits: probabilities minus one-hot classes.
    gradient = head.probabilities(features)
    gradient[np.arange(len(class_ids)), class_ids] -= 1
    gradient *= np.float32(learning_rate / len(class_ids))
    return Head(head.weights - features.T @ gradient, head.bias - gradient.sum(axis=0))


def _check_finite(metrics: StepMetrics, learning_rate: float) -> None:
    if not np.isfinite(metrics.train_cross_entropy):
        raise UserError(
            f"training diverged by step {metrics.step} with --learning_rate={learning_rate}; use "
            f"a smaller learning rate, such as {HeadOptions.learning_rate}"
        )

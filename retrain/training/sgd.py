"""Vectors to a softmax layer: the last layer of the classifier, and its training.

The training is that of TensorFlow's `examples/image_retraining`: plain gradient descent on the mean
cross entropy of small batches, in which every class is as likely as every other.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from retrain.config import HeadOptions
from retrain.errors import UserError
from retrain.runtimes.head import Head

# Features float16 or float32 [N, width] and classes int [N], 0 to the number of classes.
Examples: TypeAlias = tuple[np.ndarray, np.ndarray]

_INITIAL_STDDEV = 0.001

# Drawing for many steps at once takes a tenth of the time that drawing for each takes.
_ROWS_DRAWN_AT_ONCE = 1 << 16

# Of numbers that grow without bounds; the UserError says more than numpy would.
_WITHOUT_WARNINGS = np.errstate(over="ignore", invalid="ignore")


@dataclass(frozen=True)
class Progress:
    """How good the head is after a step.

    Attributes:
        step: its number, from 0.
        train_accuracy: on the images of this step, 0 to 1.
        train_cross_entropy: their mean, in nats.
        validation_accuracy: on images of the validation part, or None where it is empty.
        validation_cross_entropy: their mean, or None where it is empty.
        head: as it is after the step.
    """

    step: int
    train_accuracy: float
    train_cross_entropy: float
    validation_accuracy: float | None
    validation_cross_entropy: float | None
    head: Head


def train(
    training: Examples,
    validation: Examples,
    class_count: int,
    options: HeadOptions,
    shares: np.ndarray | None = None,
    features_of: Callable[[np.ndarray], np.ndarray] | None = None,
    on_evaluation: Callable[[Progress], None] = lambda progress: None,
    on_step: Callable[[int, Head], None] = lambda step, head: None,
) -> Head:
    """Returns a head that was trained as the options say.

    The same arguments give the same head, bit for bit, on the same machine. What is looked at on
    the way has no influence on it.

    Args:
        training: what is learned from; every class must occur.
        validation: what is only looked at; may be empty.
        class_count: how many classes there are.
        options: how to train.
        shares: of each class among what is learned from, float [class_count] with the sum 1;
            equal ones where None.
        features_of: returns float32 [size, width] for the numbers of training examples, int
            [size], in every step; by default what `training` has for them.
        on_evaluation: is given the accuracies after every `eval_step_interval`th step, from step 0,
            and after the last.
        on_step: is given the number of every step, from 0, and the head after it.

    Raises:
        UserError: the numbers grew beyond all bounds.
        ValueError: a class has no training image.
    """
    _check_class_ids(training, class_count)
    # Streams of their own, so that a change to one kind of draw leaves the others as they were.
    initial, train_draw, validation_draw = np.random.default_rng(options.seed).spawn(3)
    learned = _rows(training[1], options.train_batch_size, train_draw, shares)
    looked_at = _rows(validation[1], options.validation_batch_size, validation_draw)
    head = _initial_head(training[0].shape[1], class_count, initial)
    for step, rows in enumerate(itertools.islice(learned, options.steps)):
        batch = _take(training, rows)
        if features_of:
            batch = (features_of(rows), batch[1])
        head = _adjusted(head, batch, options.learning_rate)
        if step % options.eval_step_interval == 0 or step == options.steps - 1:
            seen = next(looked_at, None)
            progress = look(step, head, batch, None if seen is None else _take(validation, seen))
            _check_finite(progress, options.learning_rate)
            on_evaluation(progress)
        on_step(step, head)
    return head


def _check_class_ids(training: Examples, class_count: int) -> None:
    counts = np.bincount(training[1], minlength=class_count)
    if len(counts) != class_count or not counts.all():
        raise ValueError(f"each of {class_count} classes needs images, but got {counts}")


def _initial_head(width: int, class_count: int, rng: np.random.Generator) -> Head:
    """Returns weights of a normal distribution cut off at two standard deviations, and no bias."""
    values = rng.standard_normal((width, class_count), np.float32)
    while (beyond := np.abs(values) > 2).any():
        values[beyond] = rng.standard_normal(np.count_nonzero(beyond), np.float32)
    return Head(values * np.float32(_INITIAL_STDDEV), np.zeros(class_count, np.float32))


def _take(examples: Examples, rows: np.ndarray) -> Examples:
    features, class_ids = examples
    return features[rows].astype(np.float32, copy=False), class_ids[rows]


def _rows(
    class_ids: np.ndarray, size: int, rng: np.random.Generator, shares: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Yields the numbers of `size` examples again and again, or of all for -1; none of nothing.

    For each example a class is drawn first, and then one of its images: small classes count
    as much as large ones, where `shares` do not say otherwise.
    """
    if not len(class_ids):
        return
    if size == -1:
        yield from itertools.repeat(np.arange(len(class_ids)))
    by_class = np.argsort(class_ids, kind="stable")
    _, begins, counts = np.unique(class_ids[by_class], return_index=True, return_counts=True)
    shape = (max(_ROWS_DRAWN_AT_ONCE // size, 1), size)
    while True:
        if shares is None:
            drawn = rng.integers(len(counts), size=shape)
        else:
            drawn = rng.choice(len(counts), size=shape, p=shares)
        yield from by_class[begins[drawn] + rng.integers(counts[drawn])]


@_WITHOUT_WARNINGS
def _adjusted(head: Head, batch: Examples, learning_rate: float) -> Head:
    """Returns the head after one step of gradient descent."""
    features, class_ids = batch
    # The gradient of the cross entropy by the logits: probabilities minus one-hot truth.
    gradient = head.probabilities(features)
    gradient[np.arange(len(class_ids)), class_ids] -= 1
    gradient *= np.float32(learning_rate / len(class_ids))
    return Head(head.weights - features.T @ gradient, head.bias - gradient.sum(axis=0))


def look(step: int, head: Head, batch: Examples, validation: Examples | None) -> Progress:
    """Returns how good `head` is on a batch, and on images of the validation part."""
    train_accuracy, train_cross_entropy = _measures(head, batch)
    validation_accuracy, validation_cross_entropy = (
        _measures(head, validation) if validation else (None, None)
    )
    return Progress(
        step=step,
        train_accuracy=train_accuracy,
        train_cross_entropy=train_cross_entropy,
        validation_accuracy=validation_accuracy,
        validation_cross_entropy=validation_cross_entropy,
        head=head,
    )


@_WITHOUT_WARNINGS
def _measures(head: Head, examples: Examples) -> tuple[float, float]:
    """Returns the accuracy and the mean cross entropy."""
    features, class_ids = examples
    logits = head.logits(features)
    accuracy = np.mean(logits.argmax(axis=1) == class_ids)
    # From the logits, because the logarithm of a probability that was rounded to 0 is infinite.
    logits -= logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(logits).sum(axis=1))
    cross_entropy = np.mean(log_sums - logits[np.arange(len(class_ids)), class_ids])
    return float(accuracy), float(cross_entropy)


def _check_finite(progress: Progress, learning_rate: float) -> None:
    if not np.isfinite(progress.train_cross_entropy):
        raise UserError(
            f"training came to numbers without bounds by step {progress.step} with "
            f"--learning_rate={learning_rate}; give a smaller one, such as "
            f"{HeadOptions.learning_rate}"
        )

"""Builds the `tf.data` input pipelines for `Model.fit`.

The order and the augmentation of an epoch depend only on the seed and the number of the epoch. A
resumed training therefore sees the same batches as one that was never interrupted.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tools.keras_training.augmentation import augment
from tools.keras_training.examples import Examples
from tools.keras_training.options import Augmentation

_PREFETCHED_BATCHES = 4


def steps_per_epoch(examples: Examples, batch_size: int) -> int:
    """Returns the number of batches in an epoch. The last batch can be smaller."""
    return -(-len(examples.class_ids) // batch_size)


def training_batches(
    examples: Examples,
    *,
    classes: int,
    batch_size: int,
    epochs: range,
    seed: int,
    augmentation: Augmentation,
) -> Any:
    """Returns a `tf.data.Dataset` of shuffled and augmented batches (inputs, targets).

    Inputs have the type and shape of `examples.inputs`, but are float32 if they are augmented.
    Targets are one-hot, float32 [batch, classes].

    Args:
        examples: Training examples.
        classes: Number of classes.
        batch_size: Examples per batch.
        epochs: Numbers of the epochs to produce, counted from 0.
        seed: Seed of the order and the augmentation.
        augmentation: Random changes to the images.
    """
    import tensorflow as tf

    targets = _one_hot(examples, classes)
    count = len(targets)

    def generate() -> Iterator[tuple[Any, Any, Any]]:
        for epoch in epochs:
            order = np.random.default_rng([seed, epoch]).permutation(count)
            for start in range(0, count, batch_size):
                rows = order[start : start + batch_size]
                yield examples.inputs[rows], targets[rows], (epoch, start)

    def augment_batch(inputs: Any, targets: Any, position: Any) -> tuple[Any, Any]:
        if augmentation.is_enabled:
            inputs = augment(inputs, position + np.array([0, seed * count]), augmentation)
        return inputs, targets

    signature = (*_signature(examples, classes), tf.TensorSpec((2,), tf.int64))
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return dataset.map(augment_batch, num_parallel_calls=1).prefetch(_PREFETCHED_BATCHES)


def validation_batches(examples: Examples, *, classes: int, batch_size: int) -> Any:
    """Returns a `tf.data.Dataset` of batches (inputs, targets), unchanged and in order.

    Args:
        examples: Validation examples.
        classes: Number of classes.
        batch_size: Examples per batch.
    """
    import tensorflow as tf

    targets = _one_hot(examples, classes)

    def generate() -> Iterator[tuple[Any, Any]]:
        for start in range(0, len(targets), batch_size):
            rows = slice(start, start + batch_size)
            yield examples.inputs[rows], targets[rows]

    dataset = tf.data.Dataset.from_generator(
        generate, output_signature=_signature(examples, classes)
    )
    # Without a known length, Keras warns when the data ends.
    known_length = tf.data.experimental.assert_cardinality(steps_per_epoch(examples, batch_size))
    return dataset.apply(known_length).prefetch(_PREFETCHED_BATCHES)


def _one_hot(examples: Examples, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[examples.class_ids]


def _signature(examples: Examples, classes: int) -> tuple[Any, Any]:
    import tensorflow as tf

    inputs = examples.inputs
    return (
        tf.TensorSpec((None, *inputs.shape[1:]), inputs.dtype),
        tf.TensorSpec((None, classes), tf.float32),
    )

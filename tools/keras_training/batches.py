"""Examples to the stream of batches that Keras learns from.

Order and variants of an epoch follow from the seed and the number of the epoch, so that a training
that goes on after an interruption meets the same batches.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tools.keras_training.augmentation import augment
from tools.keras_training.examples import Examples
from tools.keras_training.options import Augmentation

# Batches that wait for the network.
_PREFETCHED = 4


def steps(examples: Examples, batch_size: int) -> int:
    """Returns how many batches an epoch has; the last one may be smaller."""
    return -(-len(examples.class_ids) // batch_size)


def training(
    examples: Examples,
    classes: int,
    batch_size: int,
    epochs: range,
    seed: int,
    augmentation: Augmentation,
) -> Any:
    """Returns a `tf.data.Dataset` of the epochs, one after the other: inputs and truth.

    Inputs are as in `examples`, or float32 where they are varied; the truth is float32
    [batch, classes], 1 for the class.

    Args:
        examples: to learn from.
        classes: how many classes there are.
        batch_size: examples in a batch.
        epochs: their numbers, from 0.
        seed: of the order and the variants.
        augmentation: how to vary images.
    """
    import tensorflow as tf

    truth = _truth(examples, classes)
    count = len(truth)

    def batches() -> Iterator[tuple[Any, Any, Any]]:
        for epoch in epochs:
            order = np.random.default_rng([seed, epoch]).permutation(count)
            for begin in range(0, count, batch_size):
                rows = order[begin : begin + batch_size]
                yield examples.inputs[rows], truth[rows], (epoch, begin)

    def prepared(inputs: Any, truth: Any, place: Any) -> tuple[Any, Any]:
        if augmentation.any:
            inputs = augment(inputs, place + np.array([0, seed * count]), augmentation)
        return inputs, truth

    signature = (*_signature(examples, classes), tf.TensorSpec((2,), tf.int64))
    stream = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return stream.map(prepared, num_parallel_calls=1).prefetch(_PREFETCHED)


def validation(examples: Examples, classes: int, batch_size: int) -> Any:
    """Returns a `tf.data.Dataset` of all examples in their order, as they are: inputs and truth."""
    import tensorflow as tf

    truth = _truth(examples, classes)

    def batches() -> Iterator[tuple[Any, Any]]:
        for begin in range(0, len(truth), batch_size):
            rows = slice(begin, begin + batch_size)
            yield examples.inputs[rows], truth[rows]

    stream = tf.data.Dataset.from_generator(batches, output_signature=_signature(examples, classes))
    # Or Keras would not know how long it is, and warn when it ends.
    known = tf.data.experimental.assert_cardinality(steps(examples, batch_size))
    return stream.apply(known).prefetch(_PREFETCHED)


def _truth(examples: Examples, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[examples.class_ids]


def _signature(examples: Examples, classes: int) -> tuple[Any, Any]:
    import tensorflow as tf

    inputs = examples.inputs
    return (
        tf.TensorSpec((None, *inputs.shape[1:]), inputs.dtype),
        tf.TensorSpec((None, classes), tf.float32),
    )

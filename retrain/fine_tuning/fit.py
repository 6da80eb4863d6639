"""A network and the layer behind it learn together, a little, from distorted images.

That layer begins as the one that was fitted to the network's features: a random one would first
spoil them (Kumar et al., 2022, https://arxiv.org/abs/2202.10054).
"""

import contextlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.config import FineTuningOptions
from retrain.data.dataset import ImageFile
from retrain.data.distortions import Draw
from retrain.errors import UserError
from retrain.fine_tuning import checkpoint
from retrain.fine_tuning.checkpoint import Checkpoint, Epoch
from retrain.fine_tuning.variants import Images, undistorted
from retrain.runtimes.head import Head
from retrain.system.text import format_duration
from retrain.system.threads import parallel_map, processors
from retrain.training.history import Measures, TrainingHistory

# Of the first steps' gradients, some are very large.
_LARGEST_GRADIENT = 1.0

_SHOWN_AT_A_TIME = 32


class Lessons(NamedTuple):
    """What is learned from.

    Attributes:
        images: N of them.
        class_ids: int [N].
        importance: of each image, float32 [N], on average 1.
        validation: images that are only looked at.
    """

    images: Images
    class_ids: np.ndarray
    importance: np.ndarray
    validation: Sequence[ImageFile]


def learn(
    network: Any,
    head: Head,
    backbone: Backbone,
    lessons: Lessons,
    options: FineTuningOptions,
    seed: int,
    checkpoint_file: Path,
) -> TrainingHistory:
    """Trains what is trainable of `network`, in place, and returns how that went, by epochs.

    After each epoch it is written how far it is. Where that file is there when it begins, it goes
    on from there, and comes to the same.

    Args:
        network: a Keras model from float32 [N, height, width, 3], normalised, to
            [N, feature_width].
        head: to begin with.
        backbone: that the network is of; says how images are normalised.
        lessons: what is learned from.
        options: how to train.
        seed: of all that is random.
        checkpoint_file: of this training and no other; the caller deletes it.

    Raises:
        UserError: an image cannot be read any more, the numbers grew beyond all bounds, or the
            file cannot be written.
    """
    steps = -(-len(lessons.images) // options.batch_size)
    learner = _Learner(network, head, backbone, options, steps)
    epochs = learner.resumed(checkpoint_file)
    if epochs:
        logging.info("Fine-tuning goes on after epoch %d of %d.", len(epochs), options.epochs)
    begun, before = time.monotonic(), len(epochs)
    for epoch in range(before, options.epochs):
        epoch_begun = time.monotonic()
        rng = np.random.default_rng([seed, epoch])
        accuracy, cross_entropy = _epoch(learner, lessons, steps, rng)
        if not np.isfinite(cross_entropy):
            raise UserError(
                f"fine-tuning came to numbers without bounds in epoch {epoch + 1}; leave "
                "--fine_tune_epochs out, or give fewer --fine_tune_layers"
            )
        watched = _evaluated(learner, backbone, lessons.validation)
        epochs.append(Epoch(accuracy, cross_entropy, *watched))
        learner.save(checkpoint_file, epochs)
        now = time.monotonic()
        logging.info(
            "Fine-tuning, epoch %d of %d: train accuracy = %.1f%%, cross entropy = %.4f, "
            "validation accuracy = %.1f%%, cross entropy = %.4f, %.0f s, %s left.",
            *(epoch + 1, options.epochs, 100 * accuracy, cross_entropy),
            *(100 * watched[0], watched[1]),
            now - epoch_begun,
            format_duration((now - begun) / (epoch + 1 - before) * (options.epochs - epoch - 1)),
        )
    return _course(epochs)


def _course(epochs: Sequence[Epoch]) -> TrainingHistory:
    accuracies, losses, validation_accuracies, validation_losses = zip(*epochs, strict=True)
    return TrainingHistory(
        tuple(range(1, len(epochs) + 1)),
        Measures(accuracies, losses),
        Measures(validation_accuracies, validation_losses),
    )


class _Learner:
    def __init__(
        self,
        network: Any,
        head: Head,
        backbone: Backbone,
        options: FineTuningOptions,
        steps: int,
    ) -> None:
        import tensorflow as tf

        keras = tf.keras
        classes = len(head.bias)
        last = keras.layers.Dense(classes)
        last.build((None, backbone.feature_width))
        last.set_weights([head.weights, head.bias])
        variables = [*network.trainable_variables, *last.trainable_variables]
        optimizer = _optimizer(options, steps)
        optimizer.build(variables)
        reverse = backbone.channel_order == "BGR"
        smallest = options.label_smoothing / classes
        largest = 1 - options.label_smoothing + smallest

        def logits(pixels: Any, training: bool) -> Any:
            ordered = tf.cast(pixels[..., ::-1] if reverse else pixels, tf.float32)
            normalised = (ordered - tf.constant(backbone.mean)) / tf.constant(backbone.std)
            return last(network(normalised, training=training))

        def step(pixels: Any, class_ids: Any, importance: Any) -> Any:
            truth = tf.one_hot(class_ids, classes, largest, smallest)
            with tf.GradientTape() as tape:
                guessed = logits(pixels, training=True)
                losses = tf.nn.softmax_cross_entropy_with_logits(truth, guessed)
                loss = tf.reduce_mean(losses * importance)
            optimizer.apply(tape.gradient(loss, variables), variables)
            return sums(guessed, class_ids)

        def sums(guessed: Any, class_ids: Any) -> Any:
            right = tf.equal(tf.argmax(guessed, 1), class_ids)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(class_ids, guessed)
            return tf.reduce_sum(tf.cast(right, tf.float32)), tf.reduce_sum(losses)

        images = tf.TensorSpec((None, backbone.height, backbone.width, 3), tf.uint8)
        numbers, shares = tf.TensorSpec((None,), tf.int64), tf.TensorSpec((None,), tf.float32)
        self.step = tf.function(step, [images, numbers, shares])
        self.evaluate = tf.function(
            lambda pixels, class_ids: sums(logits(pixels, training=False), class_ids),
            [images, numbers],
        )
        # The seeds of what is dropped at random are no weights, but change as well.
        weights = {id(weight) for weight in network.weights}
        seeds = [variable for variable in network.variables if id(variable) not in weights]
        self._changing = [*variables, *seeds, *optimizer.variables]

    def save(self, file: Path, epochs: list[Epoch]) -> None:
        values = [variable.numpy() for variable in self._changing]
        checkpoint.save(file, Checkpoint(epochs, values))

    def resumed(self, file: Path) -> list[Epoch]:
        """Goes on from the file, where there is one; returns the epochs that are done then."""
        kept = checkpoint.load(file, [tuple(variable.shape) for variable in self._changing])
        if kept is None:
            return []
        for variable, value in zip(self._changing, kept.values, strict=True):
            variable.assign(value)
        return kept.epochs


def _optimizer(options: FineTuningOptions, steps: int) -> Any:
    from tensorflow import keras

    whole = options.epochs * steps
    warm_up = round(options.warm_up * whole)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, whole - warm_up, warmup_target=options.learning_rate, warmup_steps=warm_up
    )
    optimizer = keras.optimizers.AdamW(
        rate, options.weight_decay, global_clipnorm=_LARGEST_GRADIENT
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _epoch(
    learner: _Learner, lessons: Lessons, steps: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Returns the accuracy and the mean cross entropy, of each step before it."""
    count = len(lessons.images)
    order = rng.permutation(count)
    draws = iter(rng.random((count, len(Draw._fields))).tolist())
    variants = parallel_map(
        lambda one: lessons.images.variant(*one),
        ((row, _draw(next(draws))) for row in order.tolist()),
        processors(),
    )
    sums = np.zeros(2)
    with contextlib.closing(variants):
        # As large as one another, but for an image: the last one counts as the others do.
        for rows in np.array_split(order, steps):
            pixels = np.stack([next(variants) for _ in rows])
            sums += learner.step(pixels, lessons.class_ids[rows], lessons.importance[rows])
    accuracy, cross_entropy = sums / count
    return float(accuracy), float(cross_entropy)


def _draw(numbers: list[float]) -> Draw:
    scale, left, top, brightness, last = numbers
    return Draw(scale, left, top, brightness, mirrored=last < 0.5)


def _evaluated(
    learner: _Learner, backbone: Backbone, images: Sequence[ImageFile]
) -> tuple[float, float]:
    """Returns the accuracy and the mean cross entropy."""
    size = backbone.height, backbone.width
    shown = parallel_map(lambda image: undistorted(image, *size), images, processors())
    sums = np.zeros(2)
    for begin in range(0, len(images), _SHOWN_AT_A_TIME):
        some = images[begin : begin + _SHOWN_AT_A_TIME]
        class_ids = np.array([image.class_id for image in some], np.int64)
        sums += learner.evaluate(np.stack([next(shown) for _ in some]), class_ids)
    accuracy, cross_entropy = sums / len(images)
    return float(accuracy), float(cross_entropy)

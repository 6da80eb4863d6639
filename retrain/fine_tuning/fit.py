"""Fine-tunes a network together with its head, on images that are distorted in new ways each epoch.

The head starts from the one that was fitted to the pretrained features. A random head would first
distort these features (Kumar et al., 2022, https://arxiv.org/abs/2202.10054).
"""

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.config import FineTuningOptions
from retrain.data.dataset import ImageFile
from retrain.data.distortions import Distortion
from retrain.errors import UserError
from retrain.fine_tuning import checkpoint
from retrain.fine_tuning.checkpoint import History
from retrain.fine_tuning.variants import VariantSource, decode_undistorted
from retrain.runtimes.head import Head
from retrain.system.batches import batches
from retrain.system.processors import processor_count
from retrain.system.text import format_duration
from retrain.system.threads import parallel_map
from retrain.training.history import MetricSeries, TrainingHistory

# The gradients of the first steps can be very large.
_MAX_GRADIENT_NORM = 1.0

_VALIDATION_BATCH_SIZE = 32


@dataclass(frozen=True)
class TuningData:
    """The images for fine-tuning.

    Attributes:
        images: Source of distorted variants of the N training images.
        class_ids: Classes of the training images, int [N].
        sample_weights: Weights of the training images in the loss, float32 [N] with mean 1.
        validation: Validation images, for metrics only.
    """

    images: VariantSource
    class_ids: np.ndarray
    sample_weights: np.ndarray
    validation: Sequence[ImageFile]


def fine_tune(
    network: Any,
    head: Head,
    backbone: Backbone,
    data: TuningData,
    *,
    options: FineTuningOptions,
    seed: int,
    checkpoint_file: Path,
) -> TrainingHistory:
    """Trains the trainable layers of `network` in place, and returns the metrics by epochs.

    A checkpoint is saved after each epoch. If the checkpoint file exists at the start, training
    continues after its last epoch, with the same result as without an interruption.

    Args:
        network: Keras model from normalised pixels, float32 [N, height, width, 3], to features,
            float32 [N, feature_width].
        head: The head to start from.
        backbone: The backbone that `network` was loaded from.
        data: The images.
        options: Hyperparameters.
        seed: Random seed of the order and the distortions.
        checkpoint_file: Checkpoint of this training. The caller deletes it.

    Raises:
        UserError: If an image cannot be read, training diverges, or the checkpoint cannot be read
            or written.
    """
    steps = -(-len(data.images) // options.batch_size)
    trainer = _Trainer(network, head, backbone, options=options, steps=steps)
    history = checkpoint.restore(checkpoint_file, trainer.variables)
    first_epoch = len(history)
    if first_epoch:
        logging.info("Fine-tuning continues after epoch %d of %d.", first_epoch, options.epochs)
    started = time.monotonic()
    for epoch in range(first_epoch, options.epochs):
        epoch_started = time.monotonic()
        rng = np.random.default_rng([seed, epoch])
        accuracy, loss = _train_epoch(trainer, data, steps, rng)
        if not np.isfinite(loss):
            raise UserError(
                f"fine-tuning diverged in epoch {epoch + 1}; leave --fine_tune_epochs out, or use "
                "a smaller --fine_tune_layers"
            )
        val_accuracy, val_loss = _evaluate(trainer, backbone, data.validation)
        history.append(
            {
                "accuracy": accuracy,
                "loss": loss,
                "val_accuracy": val_accuracy,
                "val_loss": val_loss,
            }
        )
        checkpoint.save(checkpoint_file, trainer.variables, history)
        now = time.monotonic()
        remaining = (now - started) / (epoch + 1 - first_epoch) * (options.epochs - epoch - 1)
        logging.info(
            "Fine-tuning, epoch %d of %d: train accuracy = %.1f%%, cross entropy = %.4f, "
            "validation accuracy = %.1f%%, cross entropy = %.4f, %.0f s, %s left.",
            epoch + 1,
            options.epochs,
            100 * accuracy,
            loss,
            100 * val_accuracy,
            val_loss,
            now - epoch_started,
            format_duration(remaining),
        )
    return _to_training_history(history)


def _to_training_history(history: History) -> TrainingHistory:
    def column(name: str) -> tuple[float, ...]:
        return tuple(epoch[name] for epoch in history)

    return TrainingHistory(
        tuple(range(1, len(history) + 1)),
        MetricSeries(column("accuracy"), column("loss")),
        MetricSeries(column("val_accuracy"), column("val_loss")),
    )


class _Trainer:
    """The network with its head and optimizer, compiled to TensorFlow functions.

    Attributes:
        variables: All variables that training changes, in a fixed order.
        train_step: Trains on a batch of pixels, classes and sample weights; returns the number of
            right labels and the sum of the losses before the step.
        evaluate: Returns the same numbers for a batch of pixels and classes, without training.
    """

    def __init__(
        self,
        network: Any,
        head: Head,
        backbone: Backbone,
        *,
        options: FineTuningOptions,
        steps: int,
    ) -> None:
        import tensorflow as tf

        keras = tf.keras
        classes = len(head.bias)
        dense = keras.layers.Dense(classes)
        dense.build((None, backbone.feature_width))
        dense.set_weights([head.weights, head.bias])
        trained = [*network.trainable_variables, *dense.trainable_variables]
        optimizer = _create_optimizer(options, steps)
        optimizer.build(trained)
        is_bgr = backbone.channel_order == "BGR"
        off_value = options.label_smoothing / classes
        on_value = 1 - options.label_smoothing + off_value

        def compute_logits(pixels: Any, *, training: bool) -> Any:
            ordered = tf.cast(pixels[..., ::-1] if is_bgr else pixels, tf.float32)
            normalised = (ordered - tf.constant(backbone.mean)) / tf.constant(backbone.std)
            return dense(network(normalised, training=training))

        def sum_metrics(logits: Any, class_ids: Any) -> Any:
            correct = tf.equal(tf.argmax(logits, 1), class_ids)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(class_ids, logits)
            return tf.reduce_sum(tf.cast(correct, tf.float32)), tf.reduce_sum(losses)

        def train_step(pixels: Any, class_ids: Any, sample_weights: Any) -> Any:
            targets = tf.one_hot(class_ids, classes, on_value, off_value)
            with tf.GradientTape() as tape:
                logits = compute_logits(pixels, training=True)
                losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
                loss = tf.reduce_mean(losses * sample_weights)
            optimizer.apply(tape.gradient(loss, trained), trained)
            return sum_metrics(logits, class_ids)

        def evaluate(pixels: Any, class_ids: Any) -> Any:
            return sum_metrics(compute_logits(pixels, training=False), class_ids)

        pixels = tf.TensorSpec((None, backbone.height, backbone.width, 3), tf.uint8)
        class_ids = tf.TensorSpec((None,), tf.int64)
        sample_weights = tf.TensorSpec((None,), tf.float32)
        self.train_step = tf.function(train_step, [pixels, class_ids, sample_weights])
        self.evaluate = tf.function(evaluate, [pixels, class_ids])
        # The random seeds of dropout layers are not weights, but training changes them, too.
        weights = {id(weight) for weight in network.weights}
        seeds = [variable for variable in network.variables if id(variable) not in weights]
        self.variables = [*trained, *seeds, *optimizer.variables]


def _create_optimizer(options: FineTuningOptions, steps: int) -> Any:
    from tensorflow import keras

    total_steps = options.epochs * steps
    warm_up_steps = round(options.warm_up * total_steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        total_steps - warm_up_steps,
        warmup_target=options.learning_rate,
        warmup_steps=warm_up_steps,
    )
    optimizer = keras.optimizers.AdamW(
        schedule, options.weight_decay, global_clipnorm=_MAX_GRADIENT_NORM
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _train_epoch(
    trainer: _Trainer, data: TuningData, steps: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Returns the accuracy and the mean cross entropy of all batches, before their steps."""
    count = len(data.images)
    order = rng.permutation(count)
    random_values = iter(rng.random((count, len(Distortion._fields))).tolist())
    variants = parallel_map(
        lambda row_and_distortion: data.images.variant(*row_and_distortion),
        ((row, _to_distortion(next(random_values))) for row in order.tolist()),
        processor_count(),
    )
    sums = np.zeros(2)
    with contextlib.closing(variants):
        # Batches of equal size, up to one image: a small last batch would count too much.
        for rows in np.array_split(order, steps):
            pixels = np.stack([next(variants) for _ in rows])
            sums += trainer.train_step(pixels, data.class_ids[rows], data.sample_weights[rows])
    accuracy, loss = sums / count
    return float(accuracy), float(loss)


def _to_distortion(values: list[float]) -> Distortion:
    scale, left, top, brightness, mirror = values
    return Distortion(scale, left, top, brightness, mirrored=mirror < 0.5)


def _evaluate(
    trainer: _Trainer, backbone: Backbone, images: Sequence[ImageFile]
) -> tuple[float, float]:
    """Returns the accuracy and the mean cross entropy on undistorted images."""

    def decode(image: ImageFile) -> np.ndarray:
        return decode_undistorted(image, backbone.height, backbone.width, fit=backbone.fit)

    sums = np.zeros(2)
    with contextlib.closing(parallel_map(decode, images, processor_count())) as decoded:
        for batch in batches(images, _VALIDATION_BATCH_SIZE):
            class_ids = np.array([image.class_id for image in batch], np.int64)
            sums += trainer.evaluate(np.stack([next(decoded) for _ in batch]), class_ids)
    accuracy, loss = sums / len(images)
    return float(accuracy), float(loss)

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
from retrain.data.dataset import ImageFile
from retrain.errors import UserError
from retrain.fine_tuning import checkpoint
from retrain.fine_tuning.activation_store import ActivationStore
from retrain.fine_tuning.checkpoint import History
from retrain.fine_tuning.inputs import Inputs
from retrain.fine_tuning.precision import bfloat16_images
from retrain.fine_tuning.schedule import TuningSchedule
from retrain.fine_tuning.trainer import Trainer
from retrain.fine_tuning.variants import VariantSource
from retrain.runtimes.head import Head
from retrain.training.history import MetricSeries, TrainingHistory
from retrain.training.losses import cross_entropies_of_logits
from retrain.training_options import FineTuningOptions


@dataclass(frozen=True)
class TuningData:
    """The images for fine-tuning.

    Attributes:
        images: Source of distorted variants of the N training images.
        class_ids: Classes of the training images, int [N].
        sample_weights: Weights of the training images in the loss, float32 [N] with mean 1.
        validation: Validation images. They decide when to stop if the number of epochs is "auto";
            otherwise, they are for metrics only.
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
    bfloat16: bool = False,
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
        bfloat16: Whether to compute in bfloat16. The weights are float32 in any case.

    Raises:
        UserError: If an image cannot be read, training diverges, or the checkpoint cannot be read
            or written.
    """
    steps = -(-len(data.images) // options.batch_size)
    schedule = TuningSchedule(options, steps)
    precision = bfloat16_images(network) if bfloat16 else contextlib.nullcontext()
    with precision, ActivationStore(checkpoint_file.parent) as store:
        trainer = Trainer(network, head, backbone, options=options, schedule=schedule)
        inputs = Inputs(trainer, backbone, data.images, data.validation, store=store, seed=seed)
        history = checkpoint.restore(checkpoint_file, trainer.variables)
        if history:
            logging.info(
                "Fine-tuning continues after epoch %s.", schedule.describe(_losses(history))
            )
        while not schedule.is_finished(_losses(history)):
            started = time.monotonic()
            trainer.first_final_step.assign(schedule.first_final_step(_losses(history)))
            epoch = len(history)
            order = np.random.default_rng([seed, epoch]).permutation(len(data.images))
            # Batches of equal size, up to one image: a small last batch would count too much.
            batches = np.array_split(order, steps)
            metrics = _train(trainer, inputs, data, batches, variant=schedule.variant(epoch))
            if not np.isfinite(metrics["loss"]):
                raise UserError(
                    f"fine-tuning diverged in epoch {epoch + 1}; leave --fine_tune_epochs out, or "
                    "use a smaller --fine_tune_layers"
                )
            history.append(metrics)
            checkpoint.save(checkpoint_file, trainer.variables, history)
            _log(history, schedule, time.monotonic() - started)
        trainer.keep_averages()
    return _to_training_history(history)


def _train(
    trainer: Trainer,
    inputs: Inputs,
    data: TuningData,
    batches: Sequence[np.ndarray],
    *,
    variant: int,
) -> dict[str, float]:
    """Trains for an epoch, and returns its metrics.

    Those of the training images are measured before each step.
    """
    sums = np.zeros(2)
    with contextlib.closing(inputs.train(batches, variant)) as values:
        for rows in batches:
            sums += trainer.train_step(
                next(values), data.class_ids[rows], data.sample_weights[rows]
            )
    accuracy, loss = (sums / len(data.images)).tolist()
    class_ids = np.array([image.class_id for image in data.validation], np.int64)
    with trainer.averaged(), contextlib.closing(inputs.validation()) as values:
        logits = np.concatenate([trainer.logits(batch).numpy() for batch in values])
    return {
        "accuracy": accuracy,
        "loss": loss,
        "val_accuracy": float(np.mean(logits.argmax(axis=1) == class_ids)),
        "val_loss": float(np.mean(cross_entropies_of_logits(logits, class_ids))),
    }


def _log(history: History, schedule: TuningSchedule, seconds: float) -> None:
    epoch = history[-1]
    logging.info(
        "Fine-tuning, epoch %s: train accuracy = %.1f%%, cross entropy = %.4f, "
        "validation accuracy = %.1f%%, cross entropy = %.4f, %.0f s, %s left.",
        schedule.describe(_losses(history)),
        100 * epoch["accuracy"],
        epoch["loss"],
        100 * epoch["val_accuracy"],
        epoch["val_loss"],
        seconds,
        schedule.describe_remaining(_losses(history), seconds),
    )


def _losses(history: History) -> list[float]:
    return [epoch["val_loss"] for epoch in history]


def _to_training_history(history: History) -> TrainingHistory:
    def column(name: str) -> tuple[float, ...]:
        return tuple(epoch[name] for epoch in history)

    return TrainingHistory(
        tuple(range(1, len(history) + 1)),
        MetricSeries(column("accuracy"), column("loss")),
        MetricSeries(column("val_accuracy"), column("val_loss")),
    )

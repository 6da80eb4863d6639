"""A training with Keras from images to files, straight down."""

import logging
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retrain.backbones import engines
from retrain.errors import UserError
from retrain.system.console import quiet_native_libraries
from retrain.system.files import check_folder_writable
from retrain.training import class_weights
from tools.keras_training import (
    batches,
    best_checkpoint,
    checkpoint,
    classifier_file,
    optimizers,
    outputs,
    plots,
    tasks,
)
from tools.keras_training.checkpoint import Progress
from tools.keras_training.image_folders import Found
from tools.keras_training.options import COSINE, Options
from tools.keras_training.outputs import Written
from tools.keras_training.tasks import Task


def run(options: Options) -> None:
    """Trains a classifier, and writes it to a folder of its own.

    Raises:
        UserError: the user must change something; no other run's file was written over then.
    """
    tasks.check(options)
    checkpoint.check_free(options.output_dir, options.resume)
    check_folder_writable(options.output_dir, "output_dir")
    # What it has to say is said by exceptions.
    with quiet_native_libraries():
        _train(options)


def _train(options: Options) -> None:
    _prepare_tensorflow(options)
    found = tasks.find(options)
    if found:
        class_weights.check_labels(options.class_weights, found.labels, found.folders)
    known = _known(options, found)
    # Before what takes long.
    checkpoint.check(options.output_dir, known)
    task = tasks.make(options, found)
    weights = _class_weights(task, options)
    with checkpoint.alone(options.output_dir):
        checkpoint.begin(options.output_dir, known | _decided(task), options.resume)
        _train_task(task, weights, options)


def _train_task(task: Task, weights: dict[int, float] | None, options: Options) -> None:
    steps = batches.steps(task.data.train, task.batch_size)
    optimizers.compile_model(task.learner, options, steps * options.epochs)
    progress = checkpoint.load(options.output_dir, task.learner)
    _check_resumable(progress, options)
    logging.info("%s", _beginning(task, progress, options))
    logs = options.output_dir / outputs.LOGS
    drawn = plots.draw_images(task.data, options, logs)
    _fit(task, progress, weights, logs, options)
    best_checkpoint.remove_others(options.output_dir, progress.checkpoint)
    written = outputs.write(task, progress, options)
    written.append(Written(plots.draw_curves(progress, options, logs), "how they went"))
    written.append(Written(drawn, "images as the network sees them"))
    outputs.print_results(task, progress, options, written)


def _prepare_tensorflow(options: Options) -> None:
    import tensorflow as tf

    # Some operations add numbers in the order in which threads end.
    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(options.seed)
    if not options.mixed_precision:
        return
    if engines.chosen(engines.AUTO) != engines.BFLOAT16:
        logging.warning(
            "--mixed_precision changes nothing, as this processor does not calculate faster in "
            "bfloat16."
        )
        return
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})


def _class_weights(task: Task, options: Options) -> dict[int, float] | None:
    """Returns how much an example of each class counts; on average 1."""
    if options.class_weights == class_weights.BY_PICTURES:
        return None
    counts = np.bincount(task.data.train.class_ids, minlength=len(task.data.labels))
    labels, folders = task.data.labels, task.data.folders
    shares = class_weights.shares(options.class_weights, labels, counts, folders)
    return dict(enumerate((shares * counts.sum() / counts).tolist()))


def _known(options: Options, found: Found | None) -> dict[str, Any]:
    """Returns what is known of a run before its images are read."""
    description = classifier_file.training(options)
    if options.schedule != COSINE:
        # More epochs of the same may follow.
        del description["epochs"]
    # `_decided` has the size of a batch.
    for name in ("engine", "patience", "batch_size"):
        del description[name]
    description[checkpoint.TRAIN_DIR] = str(options.train_dir)
    if found and options.val_dir:
        description[checkpoint.VAL_DIR] = str(options.val_dir)
        description[checkpoint.NAMES] = found.names
    return description


def _decided(task: Task) -> dict[str, Any]:
    """Returns what else decides what comes out of a run."""
    decided = {"batch_size": task.batch_size, checkpoint.IMAGES: task.data.fingerprint()}
    if task.backbone:
        decided[checkpoint.BACKBONE] = task.backbone.fingerprint
    return decided


def _check_resumable(progress: Progress, options: Options) -> None:
    folder, best = options.output_dir, progress.checkpoint
    if best and not (folder / best).is_file():
        raise UserError(
            f"--resume: {folder} has no {best} any more, the best network so far; put it back, or "
            "delete the folder to begin anew"
        )
    if progress.epochs > options.epochs:
        raise UserError(
            f"--resume: {progress.epochs} epochs are done already, more than "
            f"--epochs={options.epochs}; give as many or more, or name a new --output_dir"
        )


def _beginning(task: Task, progress: Progress, options: Options) -> str:
    data = task.data
    what = "bottlenecks of images" if data.train.inputs.ndim == 2 else "pictures"
    every = task.classifier.count_params()
    learning = sum(math.prod(weight.shape) for weight in task.learner.trainable_variables)
    parameters = f"{every:,} parameters learns"
    if learning < every:
        parameters = f"{every:,} parameters, of which {learning:,} learn, learns"
    text = (
        f"{options.architecture} with {parameters} from {len(data.train.class_ids)} {what} in "
        f"{len(data.labels)} classes, and is judged by {len(data.validation.class_ids)}"
    )
    if not progress.epochs:
        return f"{text}."
    epochs = "1 epoch is" if progress.epochs == 1 else f"{progress.epochs} epochs are"
    return f"{text}; {epochs} done already."


def _fit(
    task: Task,
    progress: Progress,
    weights: Mapping[int, float] | None,
    logs: Path,
    options: Options,
) -> None:
    from tensorflow import keras

    if progress.epochs >= options.epochs or progress.is_over(options.patience):
        return
    metadata = classifier_file.describe(task, options)
    terminal = sys.stdout.isatty()
    watcher = best_checkpoint.callback(
        options.output_dir,
        progress,
        options.epochs,
        options.patience,
        lambda path: classifier_file.write(path, task, metadata),
        tell=not terminal,
    )
    classes = len(task.data.labels)
    task.learner.fit(
        batches.training(
            task.data.train,
            classes,
            task.batch_size,
            range(progress.epochs, options.epochs),
            options.seed,
            options.augmentation,
        ),
        steps_per_epoch=batches.steps(task.data.train, task.batch_size),
        validation_data=batches.validation(task.data.validation, classes, task.batch_size),
        initial_epoch=progress.epochs,
        epochs=options.epochs,
        class_weight=weights,
        shuffle=False,
        callbacks=[watcher, keras.callbacks.TensorBoard(logs, write_graph=False)],
        verbose=1 if terminal else 0,
    )

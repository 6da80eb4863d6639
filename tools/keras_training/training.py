"""A training with Keras from pictures to files, straight down."""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retrain import class_weights
from retrain.backbones import engines
from retrain.runtime import check_folder_writable, quiet_native_libraries
from tools.keras_training import (
    batches,
    classifier_file,
    drawings,
    keeper,
    optimizers,
    outputs,
    state,
    tasks,
)
from tools.keras_training.options import COSINE, Options
from tools.keras_training.outputs import Written
from tools.keras_training.state import Progress
from tools.keras_training.tasks import Task


def run(options: Options) -> None:
    """Trains a classifier, and writes it to a folder of its own.

    Raises:
        UserError: the user must change something; no other run's file was written over then.
    """
    tasks.check(options)
    state.check_free(options.output_dir, options.resume)
    check_folder_writable(options.output_dir, "output_dir")
    # What it has to say is said by exceptions.
    with quiet_native_libraries():
        _train(options)


def _train(options: Options) -> None:
    _prepare_tensorflow(options)
    task = tasks.make(options)
    weights = _class_weights(task, options)
    with state.alone(options.output_dir):
        _train_task(task, weights, options)


def _train_task(task: Task, weights: dict[int, float] | None, options: Options) -> None:
    state.begin(options.output_dir, _description(task, options), options.resume)
    steps = batches.steps(task.data.train, task.batch_size)
    optimizers.compile_model(task.learner, options, steps * options.epochs)
    progress = state.load(options.output_dir, task.learner)
    logging.info("%s", _beginning(task, progress, options))
    logs = options.output_dir / outputs.LOGS
    drawn = drawings.draw_pictures(task.data, options, logs)
    _fit(task, progress, weights, logs, options)
    keeper.remove_others(options.output_dir, progress.checkpoint)
    written = outputs.write(task, progress, options)
    written.append(Written(drawings.draw_curves(progress, options, logs), "how they went"))
    written.append(Written(drawn, "pictures as the network sees them"))
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
    """Returns how much an example of each category counts; on average 1."""
    if options.class_weights == class_weights.BY_PICTURES:
        return None
    counts = np.bincount(task.data.train.categories, minlength=len(task.data.labels))
    shares = class_weights.shares(options.class_weights, task.data.labels, counts)
    return dict(enumerate((shares * counts.sum() / counts).tolist()))


def _description(task: Task, options: Options) -> dict[str, Any]:
    """Returns all that decides what comes out of a run."""
    description = classifier_file.training(options)
    description |= {"batch_size": task.batch_size, "pictures": task.data.fingerprint()}
    if task.backbone:
        description["backbone"] = task.backbone.fingerprint
    if options.schedule != COSINE:
        # More epochs of the same may follow.
        del description["epochs"]
    for name in ("engine", "patience"):
        del description[name]
    return description


def _beginning(task: Task, progress: Progress, options: Options) -> str:
    data = task.data
    what = "bottlenecks of pictures" if data.train.inputs.ndim == 2 else "pictures"
    text = (
        f"{options.architecture} with {task.classifier.count_params():,} parameters learns from "
        f"{len(data.train.categories)} {what} in {len(data.labels)} categories, and is judged by "
        f"{len(data.validation.categories)}"
    )
    return f"{text}; {progress.epochs} epochs are done already." if progress.epochs else f"{text}."


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
    watcher = keeper.callback(
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

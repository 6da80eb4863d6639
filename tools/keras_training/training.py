"""Runs a training, from the options to the files of the classifier."""

import logging
import math
import sys
from collections.abc import Mapping

import numpy as np

from retrain.backbones import engines
from retrain.errors import UserError
from retrain.system.outputs.checks import check_folder_writable, check_utf8
from retrain.system.program.console import quiet_native_libraries
from retrain.training import class_weights
from tools.keras_training import (
    best_checkpoint,
    checks,
    classifier_file,
    input_pipeline,
    optimizers,
    outputs,
    plots,
    run_description,
    run_folder,
    tasks,
    training_state,
)
from tools.keras_training.options import Options
from tools.keras_training.outputs import OutputFile
from tools.keras_training.tasks import Task
from tools.keras_training.training_state import TrainingState


def run(options: Options) -> None:
    """Trains a classifier, and writes all files to the output folder.

    Raises:
        UserError: If an option, the images or the output folder cannot be used. Files of other
            runs are never overwritten.
    """
    checks.check(options)
    run_folder.check_available(options.output_dir, resume=options.resume)
    check_folder_writable(options.output_dir, "output_dir")
    check_utf8(options.output_dir, "output_dir")
    with quiet_native_libraries():
        _prepare_tensorflow(options)
        folders = tasks.scan_folders(options)
        if folders:
            dataset = folders.dataset
            class_weights.check_labels(options.class_weights, dataset.labels, dataset.folders)
        description = run_description.describe_inputs(options, folders)
        # Another run is refused before its images are decoded.
        run_description.check(options.output_dir, description)
        task = tasks.load(options, folders)
        weights = _class_weights(task, options)
        description |= run_description.describe_task(task)
        with run_folder.exclusive_folder(options.output_dir):
            # Another run can have used the folder in the meantime.
            run_folder.check_available(options.output_dir, resume=options.resume)
            run_description.write(options.output_dir, description)
            _train(task, weights, options)


def _train(task: Task, weights: Mapping[int, float] | None, options: Options) -> None:
    steps = input_pipeline.steps_per_epoch(task.data.train, task.batch_size)
    optimizers.compile_model(task.model, options, steps * options.epochs)
    state = training_state.restore(options.output_dir, task.model)
    _check_resumable(state, options)
    logging.info("%s", _summary(task, state, options))
    logs = options.output_dir / outputs.LOGS_FOLDER
    images_file = plots.plot_images(task.data, options, logs)
    if state.epochs < options.epochs and not state.has_converged(options.patience):
        _fit(task, state, options, class_weight=weights)
    best_checkpoint.remove_others(options.output_dir, state.best_model_file)
    files = outputs.write(task, state, options.output_dir)
    curves_file = plots.plot_history(state, options, logs)
    files.append(OutputFile(curves_file, "plot of loss and accuracy"))
    files.append(OutputFile(images_file, "training images as the network sees them"))
    outputs.print_results(task, state, options, files)


def _prepare_tensorflow(options: Options) -> None:
    import tensorflow as tf

    # Some operations otherwise add numbers in the order in which threads finish.
    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(options.seed)
    if not options.mixed_precision:
        return
    if engines.resolve(engines.AUTO) != engines.BFLOAT16:
        logging.warning(
            "--mixed_precision has no effect, as this processor is not faster in bfloat16."
        )
        return
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})


def _class_weights(task: Task, options: Options) -> dict[int, float] | None:
    """Returns the weight of an example of each class, with mean 1 over all examples."""
    if options.class_weights == class_weights.BY_PICTURES:
        return None
    labels, folders = task.data.labels, task.data.folders
    counts = np.bincount(task.data.train.class_ids, minlength=len(labels))
    shares = class_weights.compute_shares(options.class_weights, labels, counts, folders=folders)
    return dict(enumerate((shares * counts.sum() / counts).tolist()))


def _check_resumable(state: TrainingState, options: Options) -> None:
    folder, best = options.output_dir, state.best_model_file
    if best and not best_checkpoint.is_intact(folder / best):
        problem = "is damaged" if (folder / best).is_file() else "is missing"
        raise UserError(
            f"--resume: {folder / best}, the best network so far, {problem}; restore the file, or "
            "delete the folder to start again"
        )
    if state.epochs > options.epochs:
        raise UserError(
            f"--resume: {folder} has {state.epochs} finished epochs, more than "
            f"--epochs={options.epochs}; set as many or more, or choose a new --output_dir"
        )


def _summary(task: Task, state: TrainingState, options: Options) -> str:
    data = task.data
    inputs = "bottlenecks" if data.train.inputs.ndim == 2 else "images"
    parameters = task.classifier.count_params()
    trainable = sum(math.prod(weight.shape) for weight in task.model.trainable_variables)
    shown = f"{parameters:,} parameters"
    if trainable < parameters:
        shown += f" ({trainable:,} trainable)"
    summary = (
        f"Training {options.architecture} with {shown} on {len(data.train.class_ids):,} {inputs} "
        f"of {len(data.labels)} classes, validating on {len(data.validation.class_ids):,}"
    )
    if not state.epochs:
        return f"{summary}."
    epochs = "1 epoch is" if state.epochs == 1 else f"{state.epochs} epochs are"
    return f"{summary}; {epochs} already finished."


def _fit(
    task: Task,
    state: TrainingState,
    options: Options,
    *,
    class_weight: Mapping[int, float] | None,
) -> None:
    from tensorflow import keras

    data, classes = task.data, len(task.data.labels)
    metadata = classifier_file.describe(task, options)
    shows_bar = sys.stdout.isatty()
    logs = options.output_dir / outputs.LOGS_FOLDER
    best_model = best_checkpoint.make_callback(
        options.output_dir,
        state,
        epochs=options.epochs,
        patience=options.patience,
        write_model=lambda path: classifier_file.write(path, task, metadata),
        log_epochs=not shows_bar,
    )
    task.model.fit(
        input_pipeline.training_batches(
            data.train,
            classes=classes,
            batch_size=task.batch_size,
            epochs=range(state.epochs, options.epochs),
            seed=options.seed,
            augmentation=options.augmentation,
        ),
        steps_per_epoch=input_pipeline.steps_per_epoch(data.train, task.batch_size),
        validation_data=input_pipeline.validation_batches(
            data.validation, classes=classes, batch_size=task.batch_size
        ),
        initial_epoch=state.epochs,
        epochs=options.epochs,
        class_weight=class_weight,
        shuffle=False,
        callbacks=[best_model, keras.callbacks.TensorBoard(logs, write_graph=False)],
        verbose=1 if shows_bar else 0,
    )

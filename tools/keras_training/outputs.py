"""Writes the best network, the labels and the history, and prints the results."""

import json
from pathlib import Path
from typing import NamedTuple

from retrain.metadata import LABELS_FILE, labels_text
from retrain.system.outputs.staging import Staging
from tools.keras_training.options import Options
from tools.keras_training.tasks import Task
from tools.keras_training.training_state import TrainingState

MODEL_FILE, WEIGHTS_FILE = "model.json", "model.weights.h5"
HISTORY_FILE = "history.json"
LOGS_FOLDER = "logs"


class OutputFile(NamedTuple):
    """A file in the output folder.

    Attributes:
        path: Path of the file.
        description: What the file contains, for the list of files that is printed.
    """

    path: Path
    description: str


def write(task: Task, state: TrainingState, folder: Path) -> list[OutputFile]:
    """Writes the best network in two files, the labels and the history.

    Args:
        task: The training.
        state: Finished epochs, at least one.
        folder: Output folder.

    Returns:
        The written files and the file of the best network.

    Raises:
        UserError: If a file cannot be written.
    """
    from tensorflow import keras

    best_model_file = folder / state.best_model_file
    model = keras.models.load_model(best_model_file, compile=False)
    with Staging() as staging:
        staging.file(folder / MODEL_FILE).write_text(model.to_json() + "\n", "utf-8")
        model.save_weights(staging.file(folder / WEIGHTS_FILE))
        staging.file(folder / LABELS_FILE).write_text(labels_text(task.data.labels), "utf-8")
        history = json.dumps(state.history, indent=2) + "\n"
        staging.file(folder / HISTORY_FILE).write_text(history, "utf-8")
    return [
        OutputFile(best_model_file, f"the best network, from epoch {state.best_epoch + 1}"),
        OutputFile(folder / MODEL_FILE, "its architecture, without weights"),
        OutputFile(folder / WEIGHTS_FILE, "its weights"),
        OutputFile(folder / LABELS_FILE, "its labels, in output order"),
        OutputFile(folder / HISTORY_FILE, "loss and accuracy of each epoch"),
    ]


def print_results(
    task: Task, state: TrainingState, options: Options, files: list[OutputFile]
) -> None:
    """Prints the validation accuracy and the written files."""
    best = state.history[state.best_epoch]
    count = len(task.data.validation.class_ids)
    width = max(len(str(file.path)) for file in files)
    lines = [
        f"Validation accuracy = {best['val_accuracy']:.2%} (N={count}), from epoch "
        f"{state.best_epoch + 1} of {state.epochs}, which has the smallest validation loss.",
        "Wrote:",
        *(f"  {file.path!s:{width}}  {file.description}" for file in files),
        "View the logs in TensorBoard:",
        f"  bazel run //tools:tensorboard -- --logdir={options.output_dir / LOGS_FOLDER}",
    ]
    print("\n".join(lines))

"""Writes the best network, the labels and the history, and prints the results."""

import json
from pathlib import Path
from typing import NamedTuple

from retrain.metadata import LABELS_FILE, labels_text
from retrain.system.files import atomic_file, write_file
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
    write_file(folder / MODEL_FILE, model.to_json() + "\n")
    with atomic_file(folder / WEIGHTS_FILE) as temporary:
        model.save_weights(temporary)
    write_file(folder / LABELS_FILE, labels_text(task.data.labels))
    write_file(folder / HISTORY_FILE, json.dumps(state.history, indent=2) + "\n")
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

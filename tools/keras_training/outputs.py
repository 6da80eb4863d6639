"""What a training leaves in its folder besides the checkpoint, and the lines that say so."""

import json
from pathlib import Path
from typing import NamedTuple

from retrain.system.files import atomic_file, write_file
from tools.keras_training.checkpoint import Progress
from tools.keras_training.options import Options
from tools.keras_training.tasks import Task

MODEL_FILE, WEIGHTS_FILE = "model.json", "model.weights.h5"
LABELS_FILE, HISTORY_FILE = "labels.txt", "history.json"
LOGS = "logs"


class Written(NamedTuple):
    """A file, and what it is."""

    path: Path
    what: str


def write(task: Task, progress: Progress, options: Options) -> list[Written]:
    """Writes the best network in two files, the labels and the history; returns the files.

    Raises:
        UserError: the folder cannot be written any more.
    """
    from tensorflow import keras

    folder = options.output_dir
    checkpoint = folder / progress.checkpoint
    best = keras.models.load_model(checkpoint, compile=False)
    write_file(folder / MODEL_FILE, best.to_json() + "\n")
    with atomic_file(folder / WEIGHTS_FILE) as temporary:
        # Keras knows such files by the end of their names alone.
        named = temporary.with_name(f"{temporary.name}.weights.h5")
        try:
            best.save_weights(named)
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)
    write_file(folder / LABELS_FILE, "".join(f"{label}\n" for label in task.data.labels))
    write_file(folder / HISTORY_FILE, json.dumps(progress.history, indent=2) + "\n")
    return [
        Written(checkpoint, f"the best network, of epoch {progress.best_epoch + 1}"),
        Written(folder / MODEL_FILE, "its layers, without weights"),
        Written(folder / WEIGHTS_FILE, "its weights"),
        Written(folder / LABELS_FILE, "its labels, in the order of its output"),
        Written(folder / HISTORY_FILE, "loss and accuracy of each epoch"),
    ]


def print_results(task: Task, progress: Progress, options: Options, written: list[Written]) -> None:
    """Prints how good the network is, and what was written."""
    best = progress.history[progress.best_epoch]
    count = len(task.data.validation.class_ids)
    lines = [
        f"Validation accuracy = {100 * best['val_accuracy']:.2f}% (N={count}), of epoch "
        f"{progress.best_epoch + 1} of {progress.epochs}, which has the smallest validation loss."
    ]
    width = max(len(str(file.path)) for file in written)
    lines += ["Wrote:"] + [f"  {file.path!s:{width}}  {file.what}" for file in written]
    lines += [
        "Watch it:",
        f"  bazel run //tools:tensorboard -- --logdir={options.output_dir / LOGS}",
    ]
    print("\n".join(lines))

"""A Keras callback that saves the best network and the state of the training after each epoch."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from retrain.errors import UserError
from retrain.system.files import archives
from retrain.system.outputs.atomic_files import atomic_file
from retrain.system.text import format_duration
from tools.keras_training import training_state
from tools.keras_training.training_state import STATE_FILE, TrainingState

_BEST_MODELS = "best_model.*.keras"
# Files that a killed run of an earlier version left. Those of this version are in a hidden folder,
# which `atomic_file` removes.
_OLD_TEMPORARY_FILES = (f".{_BEST_MODELS}", f".{Path(STATE_FILE).stem}.*")


def make_callback(
    folder: Path,
    state: TrainingState,
    *,
    epochs: int,
    patience: int,
    write_model: Callable[[Path], None],
    log_epochs: bool,
) -> Any:
    """Returns a `keras.callbacks.Callback` that updates `state` and the folder after each epoch.

    The best network is written before the state that names it. A run that is killed in between
    repeats the epoch and writes the same network again.

    Args:
        folder: Output folder.
        state: State of the training at its start.
        epochs: Number of epochs, for messages.
        patience: Number of epochs without a smaller validation loss after which the training
            stops; 0 never stops it.
        write_model: Writes the current network to a file.
        log_epochs: Whether to log a line after each epoch.
    """
    from tensorflow import keras

    class BestCheckpoint(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            self._start = time.monotonic()

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            metrics = {name: float(value) for name, value in (logs or {}).items()}
            _check_finite(metrics, epoch)
            seconds = time.monotonic() - self._start
            state.history.append(metrics)
            if state.best_epoch == state.epochs - 1:
                with atomic_file(folder / state.best_model_file) as temporary:
                    write_model(temporary)
            training_state.save(folder, state, self.model)
            remove_others(folder, state.best_model_file)
            if log_epochs:
                line = _format_metrics(metrics)
                duration = format_duration(seconds)
                logging.info("Epoch %d of %d: %s, %s.", epoch + 1, epochs, line, duration)
            if state.has_converged(patience):
                self.model.stop_training = True

    return BestCheckpoint()


def is_intact(path: Path) -> bool:
    """Returns whether a Keras file exists and all of its checksums are right."""
    try:
        with path.open("rb") as file, archives.open_zip(file) as archive:
            return archive.testzip() is None
    except (OSError, archives.ArchiveError):
        return False


def _format_metrics(metrics: dict[str, float]) -> str:
    return (
        f"loss = {metrics['loss']:.4f}, accuracy = {metrics['accuracy']:.2%}, "
        f"validation loss = {metrics['val_loss']:.4f}, "
        f"validation accuracy = {metrics['val_accuracy']:.2%}"
    )


def _check_finite(metrics: dict[str, float], epoch: int) -> None:
    for name in ("loss", "val_loss"):
        if not math.isfinite(metrics[name]):
            raise UserError(
                f"the training diverged in epoch {epoch + 1}: {name} is {metrics[name]}; start "
                "again with a smaller --learning_rate"
            )


def remove_others(folder: Path, best_model_file: str) -> None:
    """Removes older best networks, and temporary files of killed runs of earlier versions.

    Args:
        folder: Output folder.
        best_model_file: Name of the file to keep.
    """
    for pattern in (_BEST_MODELS, *_OLD_TEMPORARY_FILES):
        for path in folder.glob(pattern):
            if path.name != best_model_file:
                path.unlink()

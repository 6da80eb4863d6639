"""Watches the epochs of a training: keeps the best network, says how it goes, ends it."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from retrain.errors import UserError
from retrain.system.files import atomic_file
from retrain.system.text import format_duration
from tools.keras_training.checkpoint import STATE_FILE, Progress, save

CHECKPOINT = "best_model.{epoch:02d}-{val_loss:.2f}.keras"
_CHECKPOINTS = "best_model.*.keras"
# As `runtime.atomic_file` names them.
_BEGUN = (f".{_CHECKPOINTS}", f".{Path(STATE_FILE).stem}.*")


def callback(
    folder: Path,
    progress: Progress,
    epochs: int,
    patience: int,
    write: Callable[[Path], None],
    tell: bool,
) -> Any:
    """Returns a Keras callback that brings `progress` up to date after each epoch, on disk too.

    The checkpoint is written before the state that names it: a run that is killed in between
    repeats the epoch and writes the same one.

    Args:
        folder: of the run.
        progress: where the training stands.
        epochs: that it has at most.
        patience: epochs without a smaller validation loss to endure; 0 endures any.
        write: writes the network as it is to a file.
        tell: whether to say a line after each epoch.
    """
    from tensorflow import keras

    class Keeper(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            self._begun = time.monotonic()

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            measured = {name: float(value) for name, value in (logs or {}).items()}
            _check_finite(measured, epoch)
            spent = time.monotonic() - self._begun
            progress.history.append(measured)
            if measured["val_loss"] < progress.best_loss:
                progress.best_loss, progress.best_epoch = measured["val_loss"], epoch
                progress.checkpoint = CHECKPOINT.format(epoch=epoch + 1, **measured)
                with atomic_file(folder / progress.checkpoint) as temporary:
                    write(temporary)
            save(folder, progress, self.model)
            remove_others(folder, progress.checkpoint)
            if tell:
                logging.info("%s.", line(measured, epoch, epochs, spent))
            if progress.is_over(patience):
                self.model.stop_training = True

    return Keeper()


def line(measured: dict[str, float], epoch: int, epochs: int, seconds: float) -> str:
    """Returns what was measured in an epoch, as a person reads it."""
    return (
        f"Epoch {epoch + 1} of {epochs}: loss = {measured['loss']:.4f}, "
        f"accuracy = {100 * measured['accuracy']:.2f}%, "
        f"validation loss = {measured['val_loss']:.4f}, "
        f"validation accuracy = {100 * measured['val_accuracy']:.2f}%, {format_duration(seconds)}"
    )


def _check_finite(measured: dict[str, float], epoch: int) -> None:
    for name in ("loss", "val_loss"):
        if not math.isfinite(measured[name]):
            raise UserError(
                f"the numbers grew beyond all bounds in epoch {epoch + 1} ({name} is "
                f"{measured[name]}); start again with a smaller --learning_rate"
            )


def remove_others(folder: Path, checkpoint: str) -> None:
    """Removes checkpoints but the one of that name, and what a killed run had begun to write."""
    for pattern in (_CHECKPOINTS, *_BEGUN):
        for path in folder.glob(pattern):
            if path.name != checkpoint:
                path.unlink()

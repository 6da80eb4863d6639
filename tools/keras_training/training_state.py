"""The state of a training after some of its epochs, and its file in the output folder."""

import dataclasses
from pathlib import Path
from typing import Any

from retrain.fine_tuning import checkpoint
from retrain.fine_tuning.checkpoint import History

STATE_FILE = "training_state.npz"

_BEST_MODEL_FILE = "best_model.{epoch:02d}-{val_loss:.2f}.keras"


@dataclasses.dataclass
class TrainingState:
    """The finished epochs of a training.

    Attributes:
        history: Metrics of each finished epoch under the names that Keras uses.
    """

    history: History = dataclasses.field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def best_epoch(self) -> int:
        """Index of the epoch with the smallest validation loss; -1 before the first epoch."""
        losses = [metrics["val_loss"] for metrics in self.history]
        return losses.index(min(losses)) if losses else -1

    @property
    def best_model_file(self) -> str:
        """Name of the file with the network of the best epoch; empty before the first epoch."""
        best = self.best_epoch
        if best < 0:
            return ""
        return _BEST_MODEL_FILE.format(epoch=best + 1, val_loss=self.history[best]["val_loss"])

    def has_converged(self, patience: int) -> bool:
        """Returns whether the last `patience` epochs were no better; False if `patience` is 0."""
        return 0 < patience <= self.epochs - 1 - self.best_epoch


def save(folder: Path, state: TrainingState, model: Any) -> None:
    """Saves the state and the variables of a compiled Keras model.

    Raises:
        UserError: If the file cannot be written.
    """
    checkpoint.save(folder / STATE_FILE, _variables(model), state.history)


def restore(folder: Path, model: Any) -> TrainingState:
    """Restores the variables of a compiled Keras model, and returns the saved state.

    Without a saved state, the model stays unchanged and the result has no epochs.

    Raises:
        UserError: If the file is damaged or belongs to another network.
    """
    return TrainingState(checkpoint.restore(folder / STATE_FILE, _variables(model)))


def _variables(model: Any) -> list[Any]:
    """Returns the weights, the seeds of dropout layers, and the variables of the optimizer."""
    return [*model.variables, *model.optimizer.variables]

"""How far a fine-tuning is, in a file: what one that was stopped goes on from."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retrain.system.files import atomic_file

_EPOCHS = "epochs"


class Epoch(NamedTuple):
    """How good a network was in an epoch, and for the validation part after it.

    Attributes:
        accuracy: 0 to 1, before each step.
        cross_entropy: the mean, in nats, before each step.
        validation_accuracy: 0 to 1.
        validation_cross_entropy: the mean, in nats.
    """

    accuracy: float
    cross_entropy: float
    validation_accuracy: float
    validation_cross_entropy: float


class Checkpoint(NamedTuple):
    """A training after some of its epochs.

    Attributes:
        epochs: those that are done.
        values: of all variables that change, in the order in which they were made.
    """

    epochs: list[Epoch]
    values: list[np.ndarray]


def save(file: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint over the last one.

    Raises:
        UserError: the disk is full, or the place cannot be written.
    """
    arrays: dict[str, Any] = {_EPOCHS: np.array(checkpoint.epochs)}
    arrays |= {f"value_{number}": value for number, value in enumerate(checkpoint.values)}
    with atomic_file(file) as temporary:
        np.savez(temporary, **arrays)


def load(file: Path, shapes: Sequence[tuple[int, ...]]) -> Checkpoint | None:
    """Returns the checkpoint in a file; None where there is none, or a damaged one.

    Args:
        file: that `save` wrote.
        shapes: of the values.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            values = [arrays[f"value_{number}"] for number in range(len(shapes))]
            epochs = [Epoch(*map(float, row)) for row in arrays[_EPOCHS]]
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if [value.shape for value in values] != list(shapes):
        return None
    return Checkpoint(epochs, values)

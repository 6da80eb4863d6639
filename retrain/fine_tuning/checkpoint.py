"""Saves and restores interrupted trainings of Keras models.

A checkpoint is an `.npz` file. It holds the values of the variables as the arrays `000000`,
`000001` and so on, and a JSON object `progress` whose `history` lists the metrics of each epoch.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain.errors import UserError
from retrain.system.files.private_files import open_private
from retrain.system.outputs.atomic_files import atomic_file
from retrain.system.text import first_line

History = list[dict[str, float]]

_PROGRESS, _HISTORY = "progress", "history"

_METRICS = ("accuracy", "loss", "val_accuracy", "val_loss")

# Earlier versions of fine-tuning saved a table of metrics and the arrays `value_0`, `value_1`...
_OLD_TABLE = "epochs"


def save(path: Path, variables: Sequence[Any], history: History) -> None:
    """Saves a training after an epoch. Replaces the previous checkpoint.

    Args:
        path: File to write, ending in `.npz`.
        variables: All Keras variables that the training changes, always in the same order.
        history: Metrics of each finished epoch under the names that Keras uses, such as `val_loss`.

    Raises:
        UserError: If the file cannot be written.
    """
    arrays = {_array_name(number): variable.numpy() for number, variable in enumerate(variables)}
    arrays[_PROGRESS] = np.array(json.dumps({_HISTORY: history}))
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def restore(path: Path, variables: Sequence[Any]) -> History:
    """Assigns the saved values to `variables` and returns the metrics of each finished epoch.

    Without a checkpoint, the variables keep their values and the result is empty.

    Args:
        path: File that `save` wrote.
        variables: The same variables as for `save`, in the same order.

    Raises:
        UserError: If the file is damaged or belongs to another network. All variables keep their
            values, and the file stays, because it can be the result of many hours.
    """
    if not path.exists():
        return []
    try:
        with (
            open(path, "rb", opener=open_private) as file,
            np.load(file, allow_pickle=False) as arrays,
        ):
            read = _read_old if _OLD_TABLE in arrays else _read
            history, values = read(arrays)
        _check(history, values, variables)
    # For damaged files, numpy, zipfile and json raise exceptions of many types.
    except Exception as error:
        raise UserError(
            f"{path} is damaged or was written by another version of this program "
            f"({first_line(error)}); delete it to train from the first epoch"
        ) from error
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return history


def _check(history: History, values: Sequence[np.ndarray], variables: Sequence[Any]) -> None:
    kinds = [(variable.shape, variable.dtype) for variable in map(_value, variables)]
    if [(value.shape, value.dtype) for value in values] != kinds:
        raise ValueError("it belongs to another network")
    if not all(math.isfinite(epoch[name]) for epoch in history for name in _METRICS):
        raise ValueError("a metric is not a finite number")
    if not all(np.isfinite(value).all() for value in values):
        raise ValueError("a weight is not a finite number")


def _value(variable: Any) -> np.ndarray:
    return np.asarray(variable.numpy())


def _read(arrays: Mapping[str, np.ndarray]) -> tuple[History, list[np.ndarray]]:
    rows = json.loads(str(arrays[_PROGRESS]))[_HISTORY]
    history = [{name: float(value) for name, value in row.items()} for row in rows]
    return history, [arrays[_array_name(number)] for number in range(len(arrays) - 1)]


def _read_old(arrays: Mapping[str, np.ndarray]) -> tuple[History, list[np.ndarray]]:
    rows = arrays[_OLD_TABLE].tolist()
    history = [dict(zip(_METRICS, map(float, row), strict=True)) for row in rows]
    return history, [arrays[f"value_{number}"] for number in range(len(arrays) - 1)]


def _array_name(number: int) -> str:
    return f"{number:06}"

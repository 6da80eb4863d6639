"""Where a training stands, in a file from which it goes on as if nothing had been."""

import contextlib
import dataclasses
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from retrain.errors import UserError
from retrain.system import locks
from retrain.system.files import atomic_file, write_file

DESCRIPTION_FILE = "run.json"
STATE_FILE = "training_state.npz"

# In a run's description: where its images were, their names, what was in them.
TRAIN_DIR, VAL_DIR = "train_dir", "val_dir"
NAMES, IMAGES = "names", "pictures"
BACKBONE = "backbone"

_PLACES = (TRAIN_DIR, VAL_DIR)
_PROGRESS = "progress"


@dataclasses.dataclass
class Progress:
    """What is known after some epochs.

    Attributes:
        history: for each epoch, what Keras measured, by its names.
        best_epoch: number of the one with the smallest validation loss, from 0; -1 before any.
        best_loss: that loss.
        checkpoint: name of the file with the network as it was then.
    """

    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best_epoch: int = -1
    best_loss: float = float("inf")
    checkpoint: str = ""

    @property
    def epochs(self) -> int:
        """How many are done."""
        return len(self.history)

    def is_over(self, patience: int) -> bool:
        """Tells whether the last `patience` epochs brought nothing; never for 0."""
        return 0 < patience <= self.epochs - 1 - self.best_epoch


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps other processes out of a folder, which is made where it is missing.

    Raises:
        UserError: one works there, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"--output_dir={folder} cannot be used: {error.strerror}") from error
    try:
        # Where the file system cannot tell, two runs are the user's to avoid.
        with contextlib.suppress(OSError):
            if not locks.try_lock(descriptor):
                raise UserError(
                    f"another train_keras works in --output_dir={folder}; wait until it has ended, "
                    "or name a new folder"
                )
        yield
    finally:
        os.close(descriptor)


def begin(folder: Path, description: dict[str, Any], resume: bool) -> None:
    """Makes the folder of a run, or checks that it is the one of this run.

    Args:
        folder: of the run.
        description: all that decides what comes out of it, as JSON can say it, and the places of
            its images, which do not.
        resume: whether the run may have begun before.

    Raises:
        UserError: the folder is that of another run, or cannot be written.
    """
    file = folder / DESCRIPTION_FILE
    check_free(folder, resume)
    if not file.exists():
        write_file(file, json.dumps(description, indent=2) + "\n")
        return
    check(folder, description)


def check(folder: Path, known: dict[str, Any]) -> None:
    """Raises UserError where the folder has a run of which something else is known.

    Args:
        folder: of the run, if there is one.
        known: a description, or what is known of it already.
    """
    file = folder / DESCRIPTION_FILE
    if not file.exists():
        return
    try:
        before = dict(json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"--resume: {file} is not the description of a run; name another --output_dir"
        ) from error
    moved = any(before.get(place, known.get(place)) != known.get(place) for place in _PLACES)
    # What cannot be read may come or go among images that stay where they are.
    uncompared = _PLACES if moved and NAMES in before else (*_PLACES, NAMES)
    now = json.loads(json.dumps(known))
    for name in now:
        if name not in uncompared and before.get(name) != now[name]:
            other = _other(name, before, now, moved)
            raise UserError(
                f"--resume: {folder} has a run with {other}, or name a new --output_dir"
            )


def _other(name: str, before: dict[str, Any], now: dict[str, Any], moved: bool) -> str:
    """Returns what differs, and what to do about it."""
    if name == BACKBONE:
        return "another pretrained network; give the --weights it was begun with"
    if name not in (NAMES, IMAGES):
        return f"other {name}: {before.get(name)!r}, not {now[name]!r}; give what it was begun with"
    places = " ".join(f"--{place}={before[place]}" for place in _PLACES if place in before)
    if not places:
        return "other images; give those it was begun with"
    if moved:
        return f"other images, those of {places}; give these"
    return f"other images: those of {places} have changed since; give them as they were"


def check_free(folder: Path, resume: bool) -> None:
    """Raises UserError where the folder has files that are not of the run to be resumed."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"--output_dir={folder} is a file; name a new folder")
    others = sorted(entry.name for entry in folder.iterdir())
    if not others or (resume and DESCRIPTION_FILE in others):
        return
    if resume:
        raise UserError(
            f"--resume: {folder} has {others[0]}, but no {DESCRIPTION_FILE}, so that no run can go "
            "on there; name the folder of one, or a new one"
        )
    raise UserError(
        f"--output_dir={folder} is not empty, it has {others[0]}; name a new folder, or go on with "
        "the run there with --resume"
    )


def save(folder: Path, progress: Progress, model: Any) -> None:
    """Writes where the training of a compiled Keras model stands.

    Raises:
        UserError: the disk is full, or the folder cannot be written any more.
    """
    arrays: dict[str, Any] = {
        f"{row:06}": variable.numpy() for row, variable in enumerate(_variables(model))
    }
    arrays[_PROGRESS] = np.array(json.dumps(dataclasses.asdict(progress)))
    with atomic_file(folder / STATE_FILE) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load(folder: Path, model: Any) -> Progress:
    """Returns where the training stands, and puts it into a compiled Keras model.

    Raises:
        UserError: the file is damaged, or of another network.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return Progress()
    variables = _variables(model)
    try:
        with np.load(path, allow_pickle=False) as file:
            progress = Progress(**json.loads(str(file[_PROGRESS])))
            arrays = [file[f"{row:06}"] for row in range(len(file.files) - 1)]
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
    except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"--resume: {path} is damaged, or of another version of this program ({error}); delete "
            "the folder to begin anew"
        ) from error
    return progress


def _variables(model: Any) -> list[Any]:
    """Returns weights, what dropping draws from, and what the optimizer keeps."""
    return [*model.variables, *model.optimizer.variables]

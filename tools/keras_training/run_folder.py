"""Reserves the output folder for a single training."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from retrain.errors import UserError
from retrain.system.files import locks
from retrain.system.outputs.leftovers import is_leftover_name

DESCRIPTION_FILE = "run.json"


def check_available(folder: Path, *, resume: bool) -> None:
    """Raises UserError if the folder has files and is not a run to resume.

    Args:
        folder: Output folder, which does not need to exist.
        resume: Whether the folder can contain an interrupted run.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"--output_dir={folder} is a file; choose a new folder")
    # A run that was killed at its very start leaves only hidden files, which the next one removes.
    names = sorted(e.name for e in folder.iterdir() if not is_leftover_name(e.name))
    if not names or (resume and DESCRIPTION_FILE in names):
        return
    if resume:
        raise UserError(
            f"--resume: --output_dir={folder} contains {names[0]}, but no {DESCRIPTION_FILE} of a "
            "run to resume; choose the folder of a run, or a new folder"
        )
    raise UserError(
        f"--output_dir={folder} is not empty, it contains {names[0]}; choose a new folder, or "
        "continue the run in this folder with --resume"
    )


@contextlib.contextmanager
def exclusive_folder(folder: Path) -> Iterator[None]:
    """Creates a folder if needed, and reserves it for this process.

    Raises:
        UserError: If another process uses the folder, or if the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(
            f"--output_dir={folder} cannot be used: {error.strerror}; choose another folder"
        ) from error
    try:
        if not _try_lock(descriptor):
            raise UserError(
                f"another train_keras is using --output_dir={folder}; wait until it ends, or "
                "choose a new folder"
            )
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        return locks.try_lock(descriptor)
    except OSError:
        # Some file systems cannot lock folders. Users must then keep two runs apart themselves.
        return True

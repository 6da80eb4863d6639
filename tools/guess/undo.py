"""Restores images to where they were before guess_dir sorted them.

A file is removed only if its original path has the same content, byte for byte.
"""

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from retrain.errors import UserError
from retrain.system.batches import batches
from tools.guess import results_file, transfer, transfer_batch
from tools.guess.errors import TransferError
from tools.guess.journal import Journal, is_journal
from tools.guess.results_file import ACTIONS, PLANNED, Result
from tools.guess.transfer import MOVE, SYMBOLIC_LINK, Transfer

_BATCH_SIZE = 64


class UndoCounts(NamedTuple):
    """Number of images that were restored, and number of images that were not."""

    restored: int
    failed: int


def undo(path: Path) -> UndoCounts:
    """Restores the images of a run. An interrupted undo can be repeated.

    Args:
        path: Path of the results file of a run, or of the journal of an interrupted run.

    Raises:
        UserError: If the file is neither, or records a dry run.
        UnwritableError: If the folder of an image cannot be written.
    """
    if path.suffix.lower() in results_file.FORMATS:
        results = list(results_file.read(path))
        if any(result.action == PLANNED for result in results):
            raise UserError(f"--undo={path} records a --dry_run, which changed nothing")
        counts = _restore(results)
    else:
        _check_is_journal(path)
        with Journal(path) as journal:
            results = list(_results_to_undo(journal))
            counts = _restore(results)
            if not counts.failed:
                journal.remove()
    _remove_empty_folders(results)
    return counts


def _check_is_journal(path: Path) -> None:
    expected = "the file of --results or the journal of an interrupted run"
    if not path.exists():
        raise UserError(f"--undo={path} does not exist; choose {expected}")
    if path.is_dir():
        raise UserError(f"--undo={path} is a folder; choose {expected}")
    try:
        # A journal is removed after the undo. Other files must never be.
        is_valid = path.is_file() and is_journal(path)
    except OSError as error:
        raise UserError(f"--undo={path} cannot be read: {error.strerror}") from error
    if not is_valid:
        raise UserError(
            f"--undo={path} is neither a results file, which ends with {results_file.FORMAT_LIST}, "
            "nor the journal of an interrupted run; choose one of these"
        )


def _results_to_undo(journal: Journal) -> Iterator[Result]:
    """Yields the results of plans that the run has executed or was executing."""
    if journal.settings is None:
        return
    journal.write_undo()
    source, target = Path(journal.settings["source"]), Path(journal.settings["target"])
    for plan in journal.pending:
        if plan.target is not None:
            transfer.remove_partial_target(Transfer(source / plan.image, target / plan.target))
    plans = chain(journal.outcomes(), journal.pending)
    yield from results_file.results_of(plans, journal.settings, journal.labels)


def _restore(results: Sequence[Result]) -> UndoCounts:
    failures: dict[Path, str] = {}
    transferred = [r for r in reversed(results) if r.target is not None]
    moved = [r for r in transferred if r.action == ACTIONS[MOVE]]
    for result in transferred:
        if result.action != ACTIONS[MOVE]:
            try:
                _remove_target(result)
            except TransferError as error:
                failures[Path(result.image)] = str(error)
    failures |= _move_back(moved)
    for image, reason in failures.items():
        logging.warning("%s was not restored: %s", image, reason)
    return UndoCounts(len(transferred) - len(failures), len(failures))


def _move_back(moved: Sequence[Result]) -> dict[Path, str]:
    """Moves images to their original paths; returns the reason for each that cannot be moved."""
    remaining = [Transfer(Path(str(r.target)), Path(r.image)) for r in moved]
    while True:
        failures: dict[Path, str] = {}
        for transfers in batches(remaining, _BATCH_SIZE):
            present = [t for t in transfers if os.path.lexists(t.source)]
            for index, reason in transfer_batch.transfer_all(present, MOVE).items():
                failures[present[index].target] = reason
            for source, target in transfers:
                if not os.path.lexists(source) and not os.path.lexists(target):
                    failures[target] = f"{source} no longer exists"
        # The path of an image can have been occupied by another one that is moved back by now.
        failed = [transfer for transfer in remaining if transfer.target in failures]
        if len(failed) in (0, len(remaining)):
            return failures
        remaining = failed


def _remove_target(result: Result) -> None:
    """Removes a copy of an image or a link to it."""
    image, target = Path(result.image), Path(str(result.target))
    if not os.path.lexists(target):
        return
    if result.action == ACTIONS[SYMBOLIC_LINK]:
        if not target.is_symlink():
            raise TransferError(f"{target} is no longer a link")
    elif not transfer.can_replace(image, target):
        raise TransferError(f"{target} is kept, because the original file is not the same")
    try:
        target.unlink()
    except OSError as error:
        raise TransferError(f"{target} cannot be removed: {error.strerror}") from error


def _remove_empty_folders(results: Iterable[Result]) -> None:
    """Removes the empty folders among those of the targets, up to their common parent."""
    folders = {Path(result.target).parent for result in results if result.target is not None}
    if not folders:
        return
    common = Path(os.path.commonpath(folders))
    parents = {
        parent for folder in folders for parent in folder.parents if common in parent.parents
    }
    for folder in sorted(folders | parents | {common}, key=lambda path: -len(path.parts)):
        with contextlib.suppress(OSError):  # The folder is not empty.
            folder.rmdir()

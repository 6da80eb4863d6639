"""Puts images back to where they were before guess_dir filed them.

Nothing is removed that is not, byte by byte, in the image's old place as well.
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
from tools.guess import filing, placing, results_file
from tools.guess.journal import Journal, is_one
from tools.guess.placing import MOVE, SYMBOLIC, NotFiledError, Placing
from tools.guess.results_file import ACTIONS, PLANNED, Result

_BATCH = 64


class Undone(NamedTuple):
    """How many images are as they were before, and how many are not."""

    back: int
    failed: int


def undo(path: Path) -> Undone:
    """Puts back what is in a file of results, or in the journal of an interrupted run.

    Doing it again does the rest, should it have been stopped in between.

    Raises:
        UserError: it is no such file, or there is no room to put an image back.
    """
    if path.suffix.lower() in results_file.FORMATS:
        results = list(results_file.read(path))
        if any(result.action == PLANNED for result in results):
            raise UserError(f"--undo={path} is of a --dry_run, which changed nothing")
        undone = _put_back(results)
    else:
        _check_is_journal(path)
        with Journal(path) as journal:
            results = list(_begun(journal))
            undone = _put_back(results)
            if not undone.failed:
                journal.remove()
    _remove_empty_folders(results)
    return undone


def _check_is_journal(path: Path) -> None:
    wanted = "the file of --results, or the journal of an interrupted run"
    if not path.exists():
        raise UserError(f"--undo={path} is not there; name {wanted}")
    if path.is_dir():
        raise UserError(f"--undo={path} is a folder; name {wanted}")
    try:
        # A journal is removed in the end, and what is none must not be.
        is_journal = path.is_file() and is_one(path)
    except OSError as error:
        raise UserError(f"--undo={path} cannot be read: {error.strerror}") from error
    if not is_journal:
        raise UserError(
            f"--undo={path} is not a file that --results wrote, whose name ends with "
            f"{results_file.ENDINGS}, nor the journal of an interrupted run; name one that is"
        )


def _begun(journal: Journal) -> Iterator[Result]:
    """Yields all that the run of a journal did, or was about to do when it was stopped."""
    if journal.run is None:
        return
    journal.begin_undoing()
    source, target = Path(journal.run["source"]), Path(journal.run["target"])
    for plan in journal.pending:
        if plan.target is not None:
            placing.discard_leftovers(Placing(source / plan.image, target / plan.target))
    plans = chain(journal.outcomes(), journal.pending)
    yield from results_file.results_of(plans, journal.run, journal.labels)


def _put_back(results: Sequence[Result]) -> Undone:
    """Returns how many of the results that have a filed image could be undone."""
    failed: dict[str, str] = {}
    filed = [r for r in reversed(results) if r.filed is not None]
    moved = [r for r in filed if r.action == ACTIONS[MOVE]]
    for result in filed:
        if result.action != ACTIONS[MOVE]:
            try:
                _remove(result)
            except NotFiledError as error:
                failed[result.image] = str(error)
    failed |= _move_back(moved)
    for image, reason in failed.items():
        logging.warning("%s is not put back: %s", image, reason)
    return Undone(len(filed) - len(failed), len(failed))


def _move_back(moved: Sequence[Result]) -> dict[str, str]:
    """Moves images to their old places; returns why others stay where they are."""
    remaining = list(moved)
    while True:
        failed: dict[str, str] = {}
        for batch in batches(remaining, _BATCH):
            placings = [Placing(Path(str(r.filed)), Path(r.image)) for r in batch]
            there = [p for p in placings if os.path.lexists(p.source)]
            for number, reason in filing.place_all(there, MOVE).items():
                failed[str(there[number].target)] = reason
            for each in placings:
                if not os.path.lexists(each.source) and not os.path.lexists(each.target):
                    failed[str(each.target)] = f"{each.source} has vanished"
        # A place that another image took may be free when that one is back, too.
        if not failed or len(failed) == len(remaining):
            return failed
        remaining = [result for result in remaining if result.image in failed]


def _remove(result: Result) -> None:
    """Removes a copy of an image, or a link to it."""
    image, filed = Path(result.image), Path(str(result.filed))
    if not os.path.lexists(filed):
        return
    if result.action == ACTIONS[SYMBOLIC]:
        if not filed.is_symlink():
            raise NotFiledError(f"{filed} is no link any more")
    elif not placing.can_replace(image, filed):
        raise NotFiledError(f"{filed} is kept, as the image in the old place is not the same")
    try:
        filed.unlink()
    except OSError as error:
        raise NotFiledError(f"{filed} cannot be removed: {error.strerror}") from error


def _remove_empty_folders(results: Iterable[Result]) -> None:
    """Removes the folders that images were filed in, up to the one that is around them all."""
    folders = {Path(result.filed).parent for result in results if result.filed is not None}
    if not folders:
        return
    common = Path(os.path.commonpath(folders))
    around = {parent for folder in folders for parent in folder.parents if common in parent.parents}
    for folder in sorted(folders | around | {common}, key=lambda path: -len(path.parts)):
        with contextlib.suppress(OSError):  # It is not empty.
            folder.rmdir()

"""Makes all replacements of a run together, or none of them, while no other run replaces these."""

import contextlib
import logging
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from retrain.system.files.flush import flush_folder
from retrain.system.files.locks import is_at, try_lock
from retrain.system.files.path_owners import current_user
from retrain.system.files.write_errors import as_user_error
from retrain.system.outputs.journal import OutputJournal
from retrain.system.outputs.journal_files import (
    Journals,
    empty_journals,
    journal_file,
    open_own_journal,
    read_journal,
    remove_journals,
    write_journals,
)
from retrain.system.outputs.replacement import Replacement
from retrain.system.outputs.unfinished import LockedError, pause, settle_folder
from retrain.system.program.interruption import deferred_signals

_SECONDS_BEFORE_MESSAGE = 1.0


def replace_together(replacements: Sequence[Replacement]) -> None:
    """Makes all replacements of a run, or none if one of them fails. Ctrl-C waits for the end.

    Before that, undoes what killed runs left in the same folders, and waits for other runs. If the
    replacements can neither be completed nor undone, the journals stay, and the next program undoes
    them with what is in the workspaces.

    Args:
        replacements: At least one replacement. Their folders are absolute, and different folders if
            their paths are different.

    Raises:
        UserError: If a file or folder cannot be replaced, if a folder cannot be locked, or if what
            a killed run left there cannot be undone.
    """
    folders = sorted({replacement.folder for replacement in replacements})
    with contextlib.ExitStack() as locks:
        journals = _lock_all(folders, locks)
        # The locks are released before a signal that comes in the block raises an exception.
        with deferred_signals(), locks.pop_all():
            if len(replacements) > 1 or replacements[0].is_folder:
                _replace_with_journal(replacements, journals)
            else:
                # A single file is replaced in one step.
                _place(replacements)
                _flush(folders)


def _replace_with_journal(replacements: Sequence[Replacement], journals: Journals) -> None:
    _keep_old(replacements)
    try:
        _write_journal(replacements, journals)
        _place(replacements)
    except BaseException:
        for replacement in reversed(replacements):
            with as_user_error(replacement.path):
                replacement.undo()
        _finish(journals)
        raise
    _finish(journals)


def _keep_old(replacements: Sequence[Replacement]) -> None:
    for replacement in replacements:
        with as_user_error(replacement.path):
            replacement.keep_old()
    for workspace in {replacement.folder / replacement.workspace for replacement in replacements}:
        with as_user_error(workspace.parent):
            flush_folder(workspace)


def _write_journal(replacements: Sequence[Replacement], journals: Journals) -> None:
    folders = tuple((folder, folder.stat().st_ino) for folder in journals)
    with as_user_error(replacements[0].path):
        write_journals(journals, OutputJournal(folders, tuple(replacements)))
        _flush(journals)


def _place(replacements: Sequence[Replacement]) -> None:
    for replacement in replacements:
        with as_user_error(replacement.path):
            replacement.place()


def _finish(journals: Journals) -> None:
    """Makes sure that the replacements are on the disk, and that nobody undoes them."""
    _flush(journals)
    empty_journals(journals)


def _flush(folders: Iterable[Path]) -> None:
    for folder in folders:
        with as_user_error(folder):
            flush_folder(folder)


def _lock_all(folders: Sequence[Path], locks: contextlib.ExitStack) -> Journals:
    """Locks the outputs in some folders until `locks` is closed, and returns their empty journals.

    Runs whose folders overlap do not wait for each other forever, because none of them waits while
    it holds a lock.
    """
    start: float | None = time.monotonic()
    while True:
        for folder in folders:
            settle_folder(folder)
        with (
            deferred_signals(),
            contextlib.ExitStack() as stack,
            contextlib.suppress(LockedError),
        ):
            journals = {folder: _lock(folder, stack) for folder in folders}
            stack.callback(remove_journals, journals)
            locks.push(stack.pop_all())
            return journals
        if start and time.monotonic() - start > _SECONDS_BEFORE_MESSAGE:
            logging.info("Another run is replacing files in the same folder; waiting for it.")
            start = None
        pause()


def _lock(folder: Path, stack: contextlib.ExitStack) -> int:
    """Locks the outputs in a folder, and returns the descriptor of the empty journal."""
    with as_user_error(folder):
        descriptor = open_own_journal(folder, os.O_RDWR | os.O_CREAT)
    stack.callback(os.close, descriptor)
    if not try_lock(descriptor):
        raise LockedError
    if not is_at(descriptor, journal_file(folder, current_user())):
        raise LockedError  # The other process has just removed it.
    if read_journal(descriptor, folder) is not None:
        raise LockedError  # The other process was killed after `settle_folder`.
    os.ftruncate(descriptor, 0)
    return descriptor

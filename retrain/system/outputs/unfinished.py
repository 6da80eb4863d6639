"""Undoes the replacements of runs that were killed, so that all outputs belong to one run.

All programs call `settle` before they read a file that a run can have written.
"""

import contextlib
import dataclasses
import errno
import logging
import os
import random
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from retrain.errors import UserError
from retrain.system.files.flush import flush_folder
from retrain.system.files.locks import try_lock
from retrain.system.files.path_owners import current_user, user_name
from retrain.system.outputs.journal import OutputJournal
from retrain.system.outputs.journal_files import (
    Journals,
    empty_journals,
    journal_file,
    open_journal,
    peek_journal,
    read_journal,
    remove_journals,
)
from retrain.system.outputs.replacement import Replacement

# Seconds that a reader and a writer wait for the end of a run's replacements, which take a fraction
# of a second on most disks.
_READER_PATIENCE, _WRITER_PATIENCE = 10.0, 60.0
_MAX_PAUSE = 0.05


class LockedError(Exception):
    """Another process holds a lock."""


def settle(path: Path) -> None:
    """Makes sure that a path is not read in the middle of a run's replacements.

    If a run is replacing the path at this moment, waits for its end. If the run was killed, undoes
    all its replacements. Otherwise this takes only a few system calls.

    Args:
        path: A file or folder that a run can have written. It does not need to exist.

    Raises:
        UserError: If the replacements of a killed run cannot be undone, because they are another
            user's or a folder cannot be written, or if a run does not finish.
    """
    users, is_link = {current_user()}, False
    with contextlib.suppress(OSError):
        status = path.lstat()
        users.add(status.st_uid)
        is_link = stat.S_ISLNK(status.st_mode)
    for user in users:
        _settle(path.parent, user, path, _READER_PATIENCE)
    if is_link:
        with contextlib.suppress(OSError, RuntimeError):  # Links in a circle lead nowhere.
            settle(path.resolve())


def settle_folder(folder: Path) -> None:
    """Undoes the replacements of this user's killed runs in a folder, or waits for a live one.

    Raises:
        UserError: If they cannot be undone, or if a run does not finish.
    """
    _settle(folder, current_user(), None, _WRITER_PATIENCE)


def _settle(folder: Path, user: int, path: Path | None, patience: float) -> None:
    """Waits for or undoes the replacements in a folder, if they include a path."""
    deadline = time.monotonic() + patience
    while True:
        journal = _peek(folder, user)
        if journal is None or (path and not journal.names(path)):
            return
        try:
            with _locked(journal, user, is_writer=path is None) as journals:
                if user != current_user():
                    if _peek(folder, user) == journal:
                        raise UserError(_of_another_user(journal, path or folder, user))
                else:
                    _undo(journal, journals)
        except LockedError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"{path or folder} is being replaced by another run; wait until it has ended"
                ) from error
            pause()
        except OSError as error:
            raise UserError(
                f"{path or folder} was left unfinished by a run that was killed, and the outputs "
                f"of the run before cannot be restored: {error.filename}: {error.strerror}; "
                f"correct this, or delete {journal_file(folder, user)} to keep what is there"
            ) from error


def _of_another_user(journal: OutputJournal, path: Path, user: int) -> str:
    others = len(journal.replacements) - 1
    return (
        f"{path} and {others} other outputs belong to different runs, because a run of "
        f"{user_name(user)} was killed while it replaced them; let that user run a program that "
        "reads them, which restores the older ones"
    )


def _peek(folder: Path, user: int) -> OutputJournal | None:
    """Returns the journal in a folder; None if there is none that this program can have written."""
    with contextlib.suppress(OSError):
        return peek_journal(folder, user)
    return None


@contextlib.contextmanager
def _locked(journal: OutputJournal, user: int, *, is_writer: bool) -> Iterator[Journals]:
    """Locks the files of a journal that exist, and yields those with just this journal."""
    access = os.O_RDWR if user == current_user() else os.O_RDONLY
    with contextlib.ExitStack() as stack:
        journals: Journals = {}
        for folder, inode in journal.folders:
            # What is in a folder that is not mounted here can only be restored with the rest.
            if folder.stat().st_ino != inode:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
            try:
                descriptor = open_journal(folder, user, access)
            except FileNotFoundError:
                continue
            stack.callback(os.close, descriptor)
            # Without locks, it is not known whether the run still lives.
            if not try_lock(descriptor, without_locks=is_writer):
                raise LockedError
            if _is_same(read_journal(descriptor, folder), journal):
                journals[folder] = descriptor
        yield journals


def _is_same(journal: OutputJournal | None, other: OutputJournal) -> bool:
    """Returns whether two files have the same journal, wherever their folders are mounted."""
    return journal is not None and [
        dataclasses.replace(r, folder=Path()) for r in journal.replacements
    ] == [dataclasses.replace(r, folder=Path()) for r in other.replacements]


def _undo(journal: OutputJournal, journals: Journals) -> None:
    """Undoes the replacements in the folders that have the journal, and removes the journals."""
    # If the first journal is empty, all replacements had been made, or none.
    if journal.folders[0][0] in journals:
        for replacement in reversed(journal.replacements):
            if replacement.folder in journals and _has_workspace(replacement):
                replacement.undo()
        for folder in journals:
            flush_folder(folder)
        logging.warning(
            "A run was killed while it replaced its outputs in %s; restored those of the run "
            "before.",
            ", ".join(map(str, journals)),
        )
    empty_journals(journals)
    remove_journals(journals)


def _has_workspace(replacement: Replacement) -> bool:
    """Returns whether the workspace exists, and only this user can have put anything into it."""
    try:
        slot = replacement.new.parent
        status = [os.lstat(folder) for folder in (slot.parent, slot)]
    except FileNotFoundError:
        return False
    return all(stat.S_ISDIR(s.st_mode) and s.st_uid == current_user() for s in status)


def pause() -> None:
    """Waits before another attempt to get a lock."""
    # Runs that wait for each other's locks must not retry in step.
    time.sleep(random.uniform(_MAX_PAUSE / 5, _MAX_PAUSE))

"""Makes all replacements of a run together, and undoes those of a run that was killed.

All programs that read an output call `settle` first, and all that write outputs use
`locked_outputs`, so that they see the outputs of one run only.
"""

import contextlib
import dataclasses
import logging
import os
import random
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from retrain.errors import UserError
from retrain.system.flush import flush_folder
from retrain.system.locks import try_lock
from retrain.system.output_journal import (
    Journal,
    empty_journals,
    journal_file,
    open_journal,
    read_journal,
    write_journals,
)
from retrain.system.path_owners import user_name
from retrain.system.replacements import Replacement
from retrain.system.workspace import current_user
from retrain.system.write_errors import as_user_error

# Seconds that a reader and a writer wait for the end of a run's replacements, which take a fraction
# of a second on most disks.
_READER_PATIENCE, _WRITER_PATIENCE = 10.0, 600.0
_MAX_PAUSE = 0.05
_SECONDS_BEFORE_MESSAGE = 1.0


class _LockedError(Exception):
    """Another process holds a lock."""


def settle(path: Path) -> None:
    """Makes sure that a path is not read in the middle of a run's replacements.

    If a run is replacing the path at this moment, waits for its end. If the run was killed, undoes
    all its replacements. If there is neither, takes two calls of the system.

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
        if _has_content(journal_file(path.parent, user)):
            _settle(path.parent, user, path, _READER_PATIENCE)
    if is_link:
        with contextlib.suppress(OSError, RuntimeError):  # Links in a circle lead nowhere.
            settle(path.resolve())


def settle_folder(folder: Path) -> None:
    """Undoes the replacements of all runs of this user in a folder that were killed.

    Raises:
        UserError: If they cannot be undone, or if a run does not finish.
    """
    user = current_user()
    if _has_content(journal_file(folder, user)):
        _settle(folder, user, None, _WRITER_PATIENCE)


def _has_content(journal: Path) -> bool:
    try:
        return os.lstat(journal).st_size > 0
    except OSError:
        return False


def _settle(folder: Path, user: int, path: Path | None, patience: float) -> None:
    """Waits for or undoes the replacements in a folder, if they include a path."""
    deadline = time.monotonic() + patience
    while True:
        journal = _peek(folder, user)
        if journal is None or (path and not journal.names(path)):
            return
        try:
            with _locked(journal, user, is_writer=path is None) as descriptors:
                if user != current_user():
                    if _peek(folder, user) == journal:
                        raise UserError(_of_another_user(journal, path or folder, user))
                else:
                    _undo(journal, descriptors)
        except _LockedError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"{path or folder} is being replaced by another run; wait until it has ended"
                ) from error
            _pause()
        except OSError as error:
            raise UserError(
                f"{path or folder} was left unfinished by a run that was killed, and the outputs "
                f"of the run before cannot be restored: {error.filename}: {error.strerror}; "
                "correct this, or choose other files"
            ) from error


def _of_another_user(journal: Journal, path: Path, user: int) -> str:
    others = len(journal.replacements) - 1
    return (
        f"{path} and {others} other outputs belong to different runs, because a run of "
        f"{user_name(user)} was killed while it replaced them; let that user run a program that "
        "reads them, which restores the older ones"
    )


def _peek(folder: Path, user: int) -> Journal | None:
    """Returns the journal in a folder; None if there is none that this program can have written."""
    try:
        descriptor = open_journal(folder, user, os.O_RDONLY)
    except OSError:
        return None
    try:
        return read_journal(descriptor, folder)
    except OSError:
        return None
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(journal: Journal, user: int, *, is_writer: bool) -> Iterator[dict[Path, int]]:
    """Locks the files of a journal that exist, and yields those with just this journal."""
    access = os.O_RDWR if user == current_user() else os.O_RDONLY
    with contextlib.ExitStack() as stack:
        descriptors = {}
        for folder, inode in journal.folders:
            try:
                if folder.stat().st_ino != inode:
                    continue
                descriptor = open_journal(folder, user, access)
            except FileNotFoundError:
                continue
            stack.callback(os.close, descriptor)
            # Without locks, it is not known whether the run still lives.
            if not try_lock(descriptor, without_locks=is_writer):
                raise _LockedError
            if _is_same(read_journal(descriptor, folder), journal):
                descriptors[folder] = descriptor
        yield descriptors


def _is_same(journal: Journal | None, other: Journal) -> bool:
    """Returns whether two files have the same journal, wherever their folders are mounted."""
    return journal is not None and [
        dataclasses.replace(r, folder=Path()) for r in journal.replacements
    ] == [dataclasses.replace(r, folder=Path()) for r in other.replacements]


def _undo(journal: Journal, descriptors: dict[Path, int]) -> None:
    """Undoes the replacements in the folders that have the journal, and removes the journals."""
    if journal.folders[0][0] in descriptors:
        for replacement in reversed(journal.replacements):
            if replacement.folder in descriptors and _has_workspace(replacement):
                replacement.undo()
        for folder in descriptors:
            flush_folder(folder)
        logging.warning(
            "A run was killed while it replaced its outputs in %s; restored those of the run "
            "before.",
            ", ".join(map(str, descriptors)),
        )
    empty_journals(list(descriptors.values()))
    _remove(descriptors)


def _has_workspace(replacement: Replacement) -> bool:
    """Returns whether the workspace exists, and only this user can have put anything into it."""
    try:
        slot = replacement.new.parent
        status = [os.lstat(folder) for folder in (slot.parent, slot)]
    except FileNotFoundError:
        return False
    return all(stat.S_ISDIR(s.st_mode) and s.st_uid == current_user() for s in status)


def _remove(descriptors: dict[Path, int]) -> None:
    """Removes the journals that are empty."""
    for folder, descriptor in descriptors.items():
        # Windows does not remove open files.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if not os.fstat(descriptor).st_size:
                journal_file(folder, current_user()).unlink()


def _pause() -> None:
    # Runs that wait for each other's locks must not retry in step.
    time.sleep(random.uniform(_MAX_PAUSE / 5, _MAX_PAUSE))


class LockedOutputs:
    """The outputs in some folders, which no other process of this user replaces now.

    Attributes:
        is_unfinished: Whether replacements could neither be completed nor undone, so that the
            next program has to undo them. It needs the workspaces for this.
    """

    def __init__(self, descriptors: dict[Path, int]) -> None:
        """Args: descriptors: Descriptor of the locked journal in each folder."""
        self.is_unfinished = False
        self._journals = list(descriptors.values())
        self._folders = tuple((folder, folder.stat().st_ino) for folder in descriptors)

    def replace(self, replacements: Sequence[Replacement]) -> None:
        """Makes all replacements, or none if one of them fails.

        Raises:
            UserError: If a file or folder cannot be replaced.
        """
        # A single file is replaced in one step.
        if len(replacements) > 1 or any(r.is_folder for r in replacements):
            for replacement in replacements:
                with as_user_error(replacement.path):
                    replacement.keep_old()
            self.is_unfinished = True
            journal = Journal(self._folders, tuple(map(self._canonical, replacements)))
            try:
                with as_user_error(replacements[0].path):
                    write_journals(self._journals, journal.to_bytes())
                    self._flush()
                self._place_all(replacements)
            except BaseException:
                for replacement in reversed(replacements):
                    replacement.undo()
                self._finish()
                raise
        else:
            self._place_all(replacements)
        self._finish()

    def _place_all(self, replacements: Sequence[Replacement]) -> None:
        for replacement in replacements:
            with as_user_error(replacement.path):
                replacement.place()

    def _finish(self) -> None:
        """Makes sure that the replacements are on the disk, and that nobody undoes them."""
        self._flush()
        if self.is_unfinished:
            empty_journals(self._journals)
        self.is_unfinished = False

    def _canonical(self, replacement: Replacement) -> Replacement:
        """Returns the replacement with the path by which the journal names its folder."""
        for folder, _ in self._folders:
            if folder.samefile(replacement.folder):
                return dataclasses.replace(replacement, folder=folder)
        raise ValueError(replacement)

    def _flush(self) -> None:
        for folder, _ in self._folders:
            with as_user_error(folder):
                flush_folder(folder)


@contextlib.contextmanager
def locked_outputs(folders: Iterable[Path]) -> Iterator[LockedOutputs]:
    """Locks the outputs in existing folders, after undoing what killed runs left there.

    Waits for other runs. Runs whose folders overlap do not wait for each other forever, because
    none of them waits while it holds a lock.

    Raises:
        UserError: If a folder cannot be written or locked, or if what a killed run left there
            cannot be undone.
    """
    # Folders can have several paths.
    status = {(s.st_dev, s.st_ino): folder for folder in folders for s in [folder.stat()]}
    ordered = [folder.absolute() for _, folder in sorted(status.items())]
    with contextlib.ExitStack() as stack:
        descriptors = _lock_all(ordered, stack)
        stack.callback(_remove, descriptors)
        yield LockedOutputs(descriptors)


def _lock_all(folders: Sequence[Path], cleanup: contextlib.ExitStack) -> dict[Path, int]:
    start: float | None = time.monotonic()
    while True:
        for folder in folders:
            settle_folder(folder)
        with contextlib.ExitStack() as stack:
            try:
                descriptors = {folder: _lock(folder, stack) for folder in folders}
                cleanup.push(stack.pop_all())
                return descriptors
            except _LockedError:
                pass
        if start and time.monotonic() - start > _SECONDS_BEFORE_MESSAGE:
            logging.info("Another run is replacing files in the same folder; waiting for it.")
            start = None
        _pause()


def _lock(folder: Path, stack: contextlib.ExitStack) -> int:
    """Locks the outputs in a folder, and returns the descriptor of the empty journal."""
    user = current_user()
    path = journal_file(folder, user)
    try:
        descriptor = open_journal(folder, user, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        if not os.path.lexists(path):
            raise UserError(f"{folder} cannot be written: {error.strerror}") from error
        raise UserError(
            f"{path}, which this program needs to replace files, cannot be opened: "
            f"{error.strerror}; remove it, or choose another folder"
        ) from error
    stack.callback(os.close, descriptor)
    if not try_lock(descriptor):
        raise _LockedError
    try:
        if not os.path.samestat(os.fstat(descriptor), path.lstat()):
            raise _LockedError  # The other process has just removed it.
    except FileNotFoundError:
        raise _LockedError from None
    if read_journal(descriptor, folder) is not None:
        raise _LockedError  # The other process was killed after `settle_folder`.
    os.ftruncate(descriptor, 0)
    return descriptor

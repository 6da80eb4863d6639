"""Makes all replacements of a run together, or none of them, while no other run replaces these."""

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from retrain.system.files.flush import flush_folder
from retrain.system.files.locks import try_lock
from retrain.system.files.path_owners import current_user
from retrain.system.files.write_errors import as_user_error
from retrain.system.outputs.journal import (
    OutputJournal,
    empty_journals,
    journal_file,
    open_own_journal,
    read_journal,
    write_journals,
)
from retrain.system.outputs.replacement import Replacement
from retrain.system.outputs.unfinished import LockedError, pause, remove_journals, settle_folder

_SECONDS_BEFORE_MESSAGE = 1.0


class LockedOutputs:
    """The outputs in some folders, which no other process of this user replaces now.

    Attributes:
        is_unfinished: Whether replacements could neither be completed nor undone, so that the
            next program has to undo them. It needs the workspaces for this.
    """

    def __init__(self, descriptors: dict[Path, int]) -> None:
        """Changes nothing yet.

        Args:
            descriptors: Descriptor of the locked journal in each folder.
        """
        self.is_unfinished = False
        self._journals = list(descriptors.values())
        self._folders = tuple((folder, folder.stat().st_ino) for folder in descriptors)

    def replace(self, replacements: Sequence[Replacement]) -> None:
        """Makes all replacements, or none if one of them fails.

        Raises:
            UserError: If a file or folder cannot be replaced.
        """
        if len(replacements) > 1 or any(r.is_folder for r in replacements):
            self._replace_with_journal(replacements)
        else:
            # A single file is replaced in one step.
            self._place_all(replacements)
        self._finish()

    def _replace_with_journal(self, replacements: Sequence[Replacement]) -> None:
        for replacement in replacements:
            with as_user_error(replacement.path):
                replacement.keep_old()
        for workspace in {r.folder / r.workspace for r in replacements}:
            with as_user_error(workspace.parent):
                flush_folder(workspace)
        self.is_unfinished = True
        journal = OutputJournal(self._folders, tuple(map(self._canonical, replacements)))
        try:
            with as_user_error(replacements[0].path):
                write_journals(self._journals, journal.to_bytes())
                self._flush()
            self._place_all(replacements)
        except BaseException:
            for replacement in reversed(replacements):
                with as_user_error(replacement.path):
                    replacement.undo()
            self._finish()
            raise

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
        stack.callback(remove_journals, descriptors)
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
            except LockedError:
                pass
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
    path = journal_file(folder, current_user())
    try:
        if not os.path.samestat(os.fstat(descriptor), path.lstat()):
            raise LockedError  # The other process has just removed it.
    except FileNotFoundError:
        raise LockedError from None
    if read_journal(descriptor, folder) is not None:
        raise LockedError  # The other process was killed after `settle_folder`.
    os.ftruncate(descriptor, 0)
    return descriptor

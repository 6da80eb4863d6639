"""Replaces files and folders so that the old or the new one always exists, and can undo that.

Every system can replace a file in one step. A folder is replaced in one step if the system can
exchange two folders. Otherwise it is replaced in two steps, between which the old folder has a
hidden name. If the process is killed there, the next run restores the old folder.
"""

import abc
import contextlib
import errno
import hashlib
import logging
import os
import shutil
from pathlib import Path

from retrain.system.exchange import exchange
from retrain.system.locks import exclusive_file


class Replacement(abc.ABC):
    """A new file or folder that can replace an old one. A context manager.

    Entering it makes preparations that no other program sees. Leaving it removes leftovers.

    Attributes:
        path: Path to replace, which may not exist yet.
    """

    def __init__(self, new: Path, path: Path) -> None:
        """Changes nothing yet.

        Args:
            new: Path of the new file or folder, on the same file system.
            path: Path to replace.
        """
        self.path = path
        self._new = new
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> "Replacement":
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @abc.abstractmethod
    def place(self) -> None:
        """Moves the new file or folder to `path`.

        Raises:
            OSError: If it cannot be moved. Nothing has changed then.
        """

    @abc.abstractmethod
    def undo(self) -> None:
        """Restores what was at `path` before `place`."""


class FileReplacement(Replacement):
    """Replaces a file, or a symbolic link to one, with a rename."""

    def __init__(self, new: Path, path: Path, *, backup: Path | None) -> None:
        """Changes nothing yet.

        Args:
            new: Path of the new file.
            path: Path to replace.
            backup: Unused path for the old file, or None if `undo` will not be called.
        """
        super().__init__(new, path)
        self._backup = backup

    def __enter__(self) -> "FileReplacement":
        if self._backup and os.path.lexists(self.path):
            try:
                os.link(self.path, self._backup, follow_symlinks=False)
            except (OSError, NotImplementedError):  # Not all file systems have hard links.
                shutil.copy2(self.path, self._backup, follow_symlinks=False)
        return self

    def place(self) -> None:
        """Renames the new file, which replaces the old one in one step."""
        self._new.replace(self.path)

    def undo(self) -> None:
        """Renames the backup, or removes the new file if there was none before."""
        if self._backup and os.path.lexists(self._backup):
            self._backup.replace(self.path)
        else:
            self.path.unlink()


class OneStepFolderReplacement(Replacement):
    """Replaces a folder, or a symbolic link to one, by exchanging two names."""

    def __init__(self, new: Path, path: Path) -> None:
        super().__init__(new, path)
        self._exchanged = False

    def place(self) -> None:
        """Exchanges the two folders, or renames the new one if there is no old one."""
        while True:
            try:
                exchange(self._new, self.path)
                self._exchanged = True
                return
            except FileNotFoundError:
                pass
            try:
                self._new.rename(self.path)
                return
            except OSError as error:
                # Another process has made a folder there since the exchange failed.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise

    def undo(self) -> None:
        """Exchanges the two folders again, or moves the new one away."""
        if self._exchanged:
            exchange(self._new, self.path)
        else:
            self.path.rename(self._new)


class TwoStepFolderReplacement(Replacement):
    """Replaces a folder in two steps, while a lock keeps other processes from doing the same."""

    def __init__(self, new: Path, path: Path) -> None:
        super().__init__(new, path)
        self._previous = _previous(path)

    def __enter__(self) -> "TwoStepFolderReplacement":
        with contextlib.ExitStack() as cleanup:
            cleanup.enter_context(_lock(self.path))
            _restore_or_remove(self._previous, self.path)
            cleanup.callback(_restore_or_remove, self._previous, self.path)
            self._cleanup = cleanup.pop_all()
        return self

    def place(self) -> None:
        """Moves the old folder to a hidden name, and the new one to its place."""
        had_previous = os.path.lexists(self.path)
        if had_previous:
            self.path.rename(self._previous)
        try:
            self._new.rename(self.path)
        except OSError:
            if had_previous:
                self._previous.rename(self.path)
            raise

    def undo(self) -> None:
        """Moves the new folder away and the old one back."""
        self.path.rename(self._new)
        if os.path.lexists(self._previous):
            self._previous.rename(self.path)


def restore_folder(path: Path) -> None:
    """Restores a folder that a killed run had moved away but not yet replaced.

    Raises:
        OSError: If the folder exists and cannot be moved back.
    """
    if os.path.lexists(_previous(path)):
        with _lock(path):
            _restore_or_remove(_previous(path), path)


def _restore_or_remove(previous: Path, path: Path) -> None:
    if not os.path.lexists(previous):
        return
    if os.path.lexists(path):
        _remove(previous)
    else:
        logging.warning("Restored %s, which an interrupted run was replacing.", path)
        previous.rename(path)


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _previous(path: Path) -> Path:
    """Returns the hidden path of the old folder between the two steps."""
    # Names have at most 255 bytes, and a character can take four of them.
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    return path.with_name(f".{path.name[:50]}.{digest}.previous")


def _lock(path: Path) -> contextlib.AbstractContextManager[object]:
    lock = _previous(path).with_suffix(".lock")
    return exclusive_file(lock, f"Another run is replacing {path.name}; waiting for it.")

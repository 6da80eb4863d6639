"""Replaces a file or folder so that the old one can be restored, also by another process."""

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from retrain.system.files.flush import flush_file
from retrain.system.outputs.exchange import ExchangeUnsupportedError, exchange


@dataclass(frozen=True)
class Replacement:
    """A new file or folder that replaces an old one, if there is one.

    All paths are in the same folder, so that the names are sufficient to undo it later.

    Attributes:
        folder: Existing folder that contains what is replaced.
        name: Name of the file, folder or symbolic link that is replaced.
        workspace: Name of the hidden folder that contains the new one.
        slot: Name of the folder in the workspace that contains only the new one.
        is_folder: Whether it is a folder.
        inode: Inode number of the new file or folder, by which it is recognised. None until it is
            complete.
    """

    folder: Path
    name: str
    workspace: str
    slot: str
    is_folder: bool
    inode: int | None = None

    @property
    def path(self) -> Path:
        """Path to replace."""
        return self.folder / self.name

    @property
    def new(self) -> Path:
        """Path of the new file or folder before it is in place."""
        return self.folder / self.workspace / self.slot / self.name

    @property
    def _old(self) -> Path:
        return self.folder / self.workspace / f"{self.slot}.old"

    def keep_old(self) -> None:
        """Keeps a second link to the old file, so that `place` can be undone.

        Raises:
            OSError: If the file cannot be linked or copied.
        """
        if self.is_folder or not os.path.lexists(self.path):
            return
        try:
            os.link(self.path, self._old, follow_symlinks=False)
        except (OSError, NotImplementedError):  # Not all file systems have hard links.
            shutil.copy2(self.path, self._old, follow_symlinks=False)
            if not self._old.is_symlink():
                flush_file(self._old)

    def place(self) -> None:
        """Moves the new file or folder to `path`.

        A file is replaced in one step, and so is a folder if the file system can exchange two
        names. If it cannot, the old folder is moved away first.

        Raises:
            OSError: If it cannot be moved. `undo` restores the old one then, too.
        """
        if not self.is_folder:
            self.new.replace(self.path)
            return
        check_no_file(self.path)
        try:
            exchange(self.new, self.path)
        except FileNotFoundError:
            self.new.rename(self.path)
        except ExchangeUnsupportedError:
            if os.path.lexists(self.path):
                self.path.rename(self._old)
            self.new.rename(self.path)

    def undo(self) -> None:
        """Restores what was at `path` before `place`. Can be repeated, and interrupted.

        Raises:
            OSError: If the old file or folder cannot be restored.
        """
        is_new_there, is_placed = os.path.lexists(self.new), self._is_placed()
        if os.path.lexists(self._old):
            if self.is_folder:
                if is_placed:
                    self.path.rename(self.new)
                self._old.rename(self.path)
            elif not is_new_there:
                self._old.replace(self.path)
        elif is_placed and is_new_there:
            exchange(self.new, self.path)
        elif is_placed:
            self.path.rename(self.new)

    def _is_placed(self) -> bool:
        try:
            return self.path.lstat().st_ino == self.inode
        except FileNotFoundError:
            return False


def check_no_file(path: Path) -> None:
    """Checks that a folder can take a path, where there can be a folder already.

    Raises:
        OSError: If there is a file or a link to one. `strerror` says what to do.
    """
    if os.path.lexists(path) and not path.is_dir():
        raise NotADirectoryError(
            errno.ENOTDIR, "there is a file of that name; remove it, or choose another path"
        )

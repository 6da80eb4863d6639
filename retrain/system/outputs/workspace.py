"""Creates hidden folders for unfinished files."""

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from retrain.system.files.locks import try_lock

_PREFIX = ".retrain-unfinished-"
_LOCK = "lock"


class Workspace:
    """A new hidden folder, on the same file system as the files to be written.

    A file in it stays locked as long as this process lives. `leftovers` removes workspaces whose
    lock is free. On a file system without locks it removes none, because they can be in use.

    Attributes:
        path: Path of the folder.
        umask: Permission bits that new files and folders do not get here. They are measured with a
            new folder, because `os.umask`, which reads the umask, changes it for all threads.
    """

    def __init__(self, parent: Path) -> None:
        """Creates the folder.

        Args:
            parent: An existing folder.

        Raises:
            OSError: If the parent folder cannot be written.
        """
        self.path, self._lock = _make(parent)
        self._count = 0
        try:
            self.umask = _measure_umask(self.path)
        except BaseException:
            self.remove()
            raise

    def new_path(self, name: str) -> Path:
        """Returns an unused path that ends in `name`, in a folder of its own."""
        self._count += 1
        folder = self.path / str(self._count)
        make_private_folder(folder)
        return folder / name

    def remove(self) -> None:
        """Removes the folder and everything in it."""
        self.abandon()
        remove_workspace(self.path)

    def abandon(self) -> None:
        """Leaves the folder to a later run, which removes it."""
        os.close(self._lock)


def is_workspace_name(name: str) -> bool:
    """Returns whether a name is that of a workspace."""
    return name.startswith(_PREFIX)


def lock_file(workspace: Path) -> Path:
    """Returns the path of the file that is locked as long as a workspace is in use."""
    return workspace / _LOCK


def make_private_folder(path: Path) -> None:
    """Creates a folder that this user can write and others cannot, whatever the umask."""
    path.mkdir()
    # The bit that makes new files inherit the group of the folder is kept.
    path.chmod(0o700 | (path.stat().st_mode & stat.S_ISGID))


def remove_workspace(workspace: Path) -> None:
    """Removes a workspace, as far as that is possible.

    Removes the lock last, so that another run can finish the removal if this one is killed.
    """
    with contextlib.suppress(OSError):
        for entry in workspace.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != _LOCK:
                entry.unlink()
        lock_file(workspace).unlink(missing_ok=True)
        workspace.rmdir()


def _measure_umask(folder: Path) -> int:
    probe = folder / "probe"
    probe.mkdir(0o777)
    umask = 0o777 & ~probe.stat().st_mode
    probe.rmdir()
    return umask


def _make(parent: Path) -> tuple[Path, int]:
    """Returns the path of a new folder and the descriptor of the locked file in it."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(remove_workspace, path)
            # Until the file is locked, another run can take the folder for an abandoned one.
            with contextlib.suppress(FileNotFoundError):
                lock = os.open(lock_file(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
                cleanup.callback(os.close, lock)
                if try_lock(lock) and lock_file(path).exists():
                    cleanup.pop_all()
                    return path, lock

"""Writes files and folders under temporary names, and then puts all of them in place together."""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from retrain.errors import UserError
from retrain.system.deferred_signals import deferred_signals
from retrain.system.flush import flush_file, flush_folder
from retrain.system.replacements import (
    FileReplacement,
    OneStepFolderReplacement,
    Replacement,
    TwoStepFolderReplacement,
    restore_folder,
)
from retrain.system.workspace import Workspace, make_private_folder

# Errors that the user can correct: by freeing space, changing permissions or using another path.
_CANNOT_WRITE = {
    errno.EACCES,
    errno.EBUSY,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EFBIG,
    errno.EIO,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.ENOTEMPTY,
    errno.EPERM,
    errno.EROFS,
    errno.EXDEV,  # A folder in a lower layer of a container's file system cannot be renamed.
}


@dataclass(frozen=True)
class _Item:
    """A file or folder that is being written.

    Attributes:
        path: Final path.
        temporary: Path in the workspace, with the same name.
        workspace: Workspace on the same file system.
        is_folder: Whether it is a folder.
    """

    path: Path
    temporary: Path
    workspace: Workspace
    is_folder: bool


class Staging:
    """A set of new files and folders that all replace the old ones, or none of them does.

    Example:
        with Staging() as staging:
            write_graph(staging.file(graph_path))
            write_saved_model(staging.folder(saved_model_path))

    If the block ends without an exception, everything is flushed to the disk and then renamed in
    one go, during which Ctrl-C and SIGTERM wait. If one rename fails, the others are undone. If the
    block raises an exception, everything is removed and the old files and folders stay.

    Every path always has its complete old or its complete new content, even if the process is
    killed or the machine loses power. There is one exception: on a file system that cannot exchange
    two folders, a folder is missing if the process is killed between two renames, and the next run
    restores it. A process that is killed during the renames can leave some paths old and others
    new.

    A symbolic link is replaced; the file that it points to is not changed.

    Raises:
        UserError: If the disk is full, or if a path cannot be written or is of another type.
    """

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._workspaces: dict[Path, Workspace] = {}

    def __enter__(self) -> "Staging":
        return self

    def file(self, path: Path) -> Path:
        """Creates an empty temporary file that will replace `path`, and returns its path.

        It has the same name as `path`. Missing parent folders are created.

        Raises:
            UserError: If the folder cannot be written, or if `path` is a folder, device or pipe.
        """
        with _as_user_error(path):
            if is_special(path):
                raise UserError(f"{path} cannot be written: it is not a regular file")
            if path.is_dir() and not path.is_symlink():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            item = self._new_item(path, is_folder=False)
            item.temporary.touch(0o600)
            self._items.append(item)
            return item.temporary

    def folder(self, path: Path) -> Path:
        """Creates an empty temporary folder that will replace `path`, and returns its path.

        It has the same name as `path`. Missing parent folders are created.

        Raises:
            UserError: If the folder cannot be written, or if `path` is a file.
        """
        with _as_user_error(path):
            restore_folder(path)
            _check_no_file(path)
            item = self._new_item(path, is_folder=True)
            make_private_folder(item.temporary)
            self._items.append(item)
            return item.temporary

    def _new_item(self, path: Path, *, is_folder: bool) -> _Item:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent not in self._workspaces:
            self._workspaces[path.parent] = Workspace(path.parent)
        workspace = self._workspaces[path.parent]
        return _Item(path, workspace.new_path(path.name), workspace, is_folder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._commit()
            elif isinstance(error, OSError) and error.errno in _CANNOT_WRITE and self._items:
                raise self._user_error(error) from error
        finally:
            for workspace in self._workspaces.values():
                workspace.remove()

    def _user_error(self, error: OSError) -> UserError:
        """Returns a UserError for an OSError of the block.

        If the error does not name a file, the item that was staged last is the likely cause.
        """
        path, reason = self._items[-1].path, error.strerror
        if isinstance(error.filename, str):
            for item in self._items:
                if Path(error.filename).is_relative_to(item.temporary):
                    return UserError(f"{item.path} cannot be written: {reason}")
            reason = f"{error.filename}: {reason}"
        return UserError(f"{path} cannot be written: {reason}")

    def _commit(self) -> None:
        for item in self._items:
            with _as_user_error(item.path):
                _set_permissions_and_flush(item)
        with contextlib.ExitStack() as cleanup:
            replacements = []
            # All processes use the same order, because they can wait for each other's locks.
            for item in sorted(self._items, key=lambda item: item.path):
                with _as_user_error(item.path):
                    replacement = _replacement(item, can_be_undone=len(self._items) > 1)
                    replacements.append(cleanup.enter_context(replacement))
            with deferred_signals():
                _place_all(replacements)
            for folder in self._workspaces:
                with _as_user_error(folder):
                    flush_folder(folder)


def _place_all(replacements: list[Replacement]) -> None:
    with contextlib.ExitStack() as placed:
        for replacement in replacements:
            with _as_user_error(replacement.path):
                replacement.place()
            placed.callback(replacement.undo)
        placed.pop_all()


def _replacement(item: _Item, *, can_be_undone: bool) -> Replacement:
    if not item.is_folder:
        backup = item.workspace.new_path("old") if can_be_undone else None
        return FileReplacement(item.temporary, item.path, backup=backup)
    _check_no_file(item.path)
    if item.workspace.can_exchange():
        return OneStepFolderReplacement(item.temporary, item.path)
    return TwoStepFolderReplacement(item.temporary, item.path)


def _set_permissions_and_flush(item: _Item) -> None:
    """Gives the item the permissions that the user's umask allows, and flushes it to the disk."""
    entries = [item.temporary, *item.temporary.rglob("*")] if item.is_folder else [item.temporary]
    # The contents of a folder come first, because its final permissions can make them inaccessible.
    for entry in reversed(entries):
        if entry.is_symlink():
            continue
        if entry.is_dir():
            flush_folder(entry)
            entry.chmod(0o777 & ~item.workspace.umask)
        else:
            flush_file(entry)
            entry.chmod(0o666 & ~item.workspace.umask)


def is_special(path: Path) -> bool:
    """Returns whether a path is a device, pipe or socket, which must not be replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _check_no_file(path: Path) -> None:
    if os.path.lexists(path) and not path.is_dir():
        raise UserError(
            f"{path} cannot be written: there is a file of that name; remove it, or choose another "
            "path"
        )


@contextlib.contextmanager
def _as_user_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _CANNOT_WRITE:
            raise UserError(f"{path} cannot be written: {error.strerror}") from error
        raise

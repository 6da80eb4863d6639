"""Writes files and folders under temporary names, and then puts all of them in place together.

`Staging` is the entrance to these modules, each of which builds on those before it:

- `workspace`: a hidden folder for the new files, next to the old ones
- `replacements`: puts one new file or folder in place, and undoes this
- `output_journal`: a file that lists the replacements while a run makes them
- `unfinished_outputs`: undoes those of a run that was killed
- `locked_outputs`: makes all replacements of a run
- `leftovers`: removes the workspaces of killed runs
"""

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from retrain.errors import UserError
from retrain.system.files.flush import flush_file, flush_folder
from retrain.system.files.regular_files import is_special
from retrain.system.files.write_errors import CANNOT_WRITE, as_user_error, disk_error
from retrain.system.outputs.commit import locked_outputs
from retrain.system.outputs.leftovers import make_workspace
from retrain.system.outputs.replacement import Replacement
from retrain.system.outputs.workspace import Workspace, make_private_folder
from retrain.system.program.deferred_signals import deferred_signals


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
    killed or the machine loses power. If a process is killed during the renames, the next program
    that reads or writes one of the paths restores all old ones; see `unfinished_outputs`. Until
    then some paths can be old and others new, and on a file system that cannot exchange two
    folders, a folder can be missing.

    A symbolic link is replaced; the file that it points to is not changed.

    Raises:
        UserError: If the disk is full, or if a path cannot be written or is of another type.
    """

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._workspaces: dict[Path, Workspace] = {}
        self._is_unfinished = False

    def __enter__(self) -> "Staging":
        return self

    def file(self, path: Path) -> Path:
        """Creates an empty temporary file that will replace `path`, and returns its path.

        It has the same name as `path`. Missing parent folders are created.

        Raises:
            UserError: If the folder cannot be written, or if `path` is a folder, device or pipe.
        """
        with as_user_error(path):
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
        with as_user_error(path):
            _check_no_file(path)
            item = self._new_item(path, is_folder=True)
            make_private_folder(item.temporary)
            self._items.append(item)
            return item.temporary

    def _new_item(self, path: Path, *, is_folder: bool) -> _Item:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent not in self._workspaces:
            self._workspaces[path.parent] = make_workspace(path.parent)
        workspace = self._workspaces[path.parent]
        return _Item(path, workspace.new_path(path.name), workspace, is_folder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._items:
                self._commit()
            elif error and self._items and (reason := _reason(error)):
                raise self._user_error(error, reason) from error
        finally:
            for workspace in self._workspaces.values():
                workspace.abandon() if self._is_unfinished else workspace.remove()

    def _user_error(self, error: BaseException, reason: str) -> UserError:
        """Returns a UserError for an error of the block.

        If the error does not name a file, the item that was staged last is the likely cause.
        """
        path, file_name = self._items[-1].path, getattr(error, "filename", None)
        if isinstance(file_name, str):
            for item in self._items:
                if Path(file_name).is_relative_to(item.temporary):
                    return UserError(f"{item.path} cannot be written: {reason}")
            reason = f"{file_name}: {reason}"
        return UserError(f"{path} cannot be written: {reason}")

    def _commit(self) -> None:
        for item in self._items:
            with as_user_error(item.path):
                _set_permissions_and_flush(item)
        with locked_outputs({item.path.parent for item in self._items}) as outputs:
            replacements = [_replacement(item) for item in self._items]
            try:
                with deferred_signals():
                    outputs.replace(replacements)
            finally:
                self._is_unfinished = outputs.is_unfinished


def _replacement(item: _Item) -> Replacement:
    if item.is_folder:
        _check_no_file(item.path)
    slot = item.temporary.parent
    return Replacement(
        folder=item.path.parent,
        name=item.path.name,
        workspace=slot.parent.name,
        slot=slot.name,
        is_folder=item.is_folder,
        inode=item.temporary.lstat().st_ino,
    )


def _reason(error: BaseException) -> str | None:
    """Returns why files cannot be written, if the user can correct that."""
    if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
        return error.strerror
    is_library_error = isinstance(error, Exception) and not isinstance(error, UserError)
    return disk_error(error) if is_library_error else None


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


def _check_no_file(path: Path) -> None:
    if os.path.lexists(path) and not path.is_dir():
        raise UserError(
            f"{path} cannot be written: there is a file of that name; remove it, or choose another "
            "path"
        )

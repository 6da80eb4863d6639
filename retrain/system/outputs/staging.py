"""Writes files and folders under temporary names, and then puts all of them in place together.

The system replaces one file in one step, but not several, and neither does any library. A run that
is killed between two renames would leave a graph with the labels of another run, and no program
could see that. `Staging` therefore keeps the old files until all new ones are in place, and a list
from which the next program restores them. It is the entrance to these modules, each of which builds
on those before it:

- `workspace`: a hidden folder for the new files, next to the old ones
- `replacement`: puts one new file or folder in place, and undoes this
- `journal`, `journal_files`: the list of replacements, on the disk while a run makes them
- `unfinished`: undoes the replacements of a run that was killed
- `leftovers`: removes the workspaces of killed runs
- `commit`: makes all replacements of a run
"""

import dataclasses
import errno
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from retrain.errors import UserError
from retrain.system.files.flush import flush_file, flush_folder
from retrain.system.files.regular_files import is_special
from retrain.system.files.write_errors import CANNOT_WRITE, as_user_error, cannot_write, disk_error
from retrain.system.outputs.commit import replace_together
from retrain.system.outputs.leftovers import is_needed, remove_leftovers
from retrain.system.outputs.replacement import Replacement, check_no_file
from retrain.system.outputs.workspace import Workspace, make_private_folder
from retrain.system.program.interruption import deferred_signals


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
    that reads or writes one of the paths restores all old ones; see `unfinished`. Until
    then some paths can be old and others new, and on a file system that cannot exchange two
    folders, a folder can be missing.

    A symbolic link is replaced; the file that it points to is not changed.

    Raises:
        UserError: If the disk is full, or if a path cannot be written or is of another type.
    """

    def __init__(self, flags: Mapping[str, Path] | None = None) -> None:
        """Does not create anything yet.

        Args:
            flags: Files and folders by the flags that name them, for error messages.
        """
        self._flags = dict(flags or {})
        self._replacements: list[Replacement] = []
        self._workspaces: dict[Path, Workspace] = {}

    def __enter__(self) -> "Staging":
        return self

    def file(self, path: Path) -> Path:
        """Creates an empty temporary file that will replace `path`, and returns its path.

        It has the same name as `path`. Missing parent folders are created.

        Raises:
            UserError: If the folder cannot be written, or if `path` is a folder, device or pipe.
        """
        with as_user_error(self._describe(path)):
            if is_special(path):
                raise cannot_write(self._describe(path), "it is not a regular file")
            if path.is_dir() and not path.is_symlink():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            new = self._new_path(path, is_folder=False)
            new.touch(0o600)
            return new

    def folder(self, path: Path) -> Path:
        """Creates an empty temporary folder that will replace `path`, and returns its path.

        It has the same name as `path`. Missing parent folders are created.

        Raises:
            UserError: If the folder cannot be written, or if `path` is a file.
        """
        with as_user_error(self._describe(path)):
            check_no_file(path)
            new = self._new_path(path, is_folder=True)
            make_private_folder(new)
            return new

    def _new_path(self, path: Path, *, is_folder: bool) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        workspace = self._workspace(path.parent)
        new = workspace.new_path(path.name)
        self._replacements.append(
            Replacement(
                folder=workspace.path.parent,
                name=path.name,
                workspace=workspace.path.name,
                slot=new.parent.name,
                is_folder=is_folder,
            )
        )
        return new

    def _workspace(self, folder: Path) -> Workspace:
        """Returns the workspace in a folder, which can have several paths."""
        for known, workspace in self._workspaces.items():
            if known.samefile(folder):
                return workspace
        remove_leftovers(folder)
        # A signal must not come between the two, or the folder would stay until the next run.
        with deferred_signals():
            workspace = Workspace(folder.absolute())
            self._workspaces[workspace.path.parent] = workspace
        return workspace

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._replacements:
                self._commit()
            elif error and self._replacements and (reason := _reason(error)):
                raise self._user_error(error, reason) from error
        finally:
            with deferred_signals():
                for workspace in self._workspaces.values():
                    workspace.abandon() if is_needed(workspace.path) else workspace.remove()

    def _user_error(self, error: BaseException, reason: str) -> UserError:
        """Returns a UserError for an error of the block.

        If the error does not name a file, the last path is the likely cause.
        """
        path, file_name = self._replacements[-1].path, getattr(error, "filename", None)
        if isinstance(file_name, str):
            for replacement in self._replacements:
                if Path(file_name).is_relative_to(replacement.new):
                    return cannot_write(self._describe(replacement.path), reason)
            reason = f"{file_name}: {reason}"
        return cannot_write(self._describe(path), reason)

    def _describe(self, path: Path) -> str:
        """Returns a path with the flag that names it or a folder above it, if there is one."""
        for flag, value in self._flags.items():
            if path.is_relative_to(value):
                return f"--{flag}={value}"
        return str(path)

    def _commit(self) -> None:
        for replacement in self._replacements:
            with as_user_error(self._describe(replacement.path)):
                umask = self._workspaces[replacement.folder].umask
                _set_permissions_and_flush(replacement.new, umask)
        replace_together(
            [dataclasses.replace(r, inode=r.new.lstat().st_ino) for r in self._replacements]
        )


def _reason(error: BaseException) -> str | None:
    """Returns why files cannot be written, if the user can correct that."""
    if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
        return error.strerror
    is_library_error = isinstance(error, Exception) and not isinstance(error, UserError)
    return disk_error(error) if is_library_error else None


def _set_permissions_and_flush(new: Path, umask: int) -> None:
    """Gives a new file or folder the permissions that the user's umask allows, and flushes it."""
    entries = [new, *new.rglob("*")] if new.is_dir() else [new]
    # The contents of a folder come first, because its final permissions can make them inaccessible.
    for entry in reversed(entries):
        if entry.is_symlink():
            continue
        if entry.is_dir():
            flush_folder(entry)
            entry.chmod(0o777 & ~umask)
        else:
            flush_file(entry)
            entry.chmod(0o666 & ~umask)

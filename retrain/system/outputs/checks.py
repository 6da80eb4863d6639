"""Checks at the start of a run that its outputs can be written at its end."""

import errno
import os
import tempfile
from collections.abc import Collection
from pathlib import Path

from retrain.errors import UserError
from retrain.system.files.path_owners import find_intruder
from retrain.system.files.regular_files import is_special
from retrain.system.outputs.leftovers import remove_leftovers
from retrain.system.outputs.replaceable import check_replaceable

# Of all usual file systems.
_MAX_NAME_BYTES = 255


def check_writable(path: Path, flag: str) -> None:
    """Checks that a file can be written. Leaves nothing behind.

    Args:
        path: Path of the file.
        flag: Name of the flag that `path` is from.

    Raises:
        UserError: If the file cannot be written.
    """
    check_folder_writable(path.parent, flag, value=path)
    if path.is_dir():
        raise UserError(f"--{flag}={path} is a folder; name a file in it")
    if is_special(path):
        raise UserError(f"--{flag}={path} is not a regular file; choose another path")
    _check_replaceable(path, flag)


def _check_replaceable(path: Path, flag: str) -> None:
    try:
        check_replaceable(path)
    except OSError as error:
        raise UserError(f"--{flag}={path} cannot be written: {error.strerror}") from error
    if reason := find_intruder(path):
        raise UserError(f"--{flag}={path} cannot be written: {reason}; choose another path")


def check_folder_writable(folder: Path, flag: str, *, value: Path | None = None) -> None:
    """Checks that files can be created in a folder, which may not exist yet. Leaves nothing behind.

    Args:
        folder: Path of the folder.
        flag: Name of the flag that the folder is from.
        value: Value of the flag, if it is not the folder.

    Raises:
        UserError: If the folder cannot be written.
    """
    for part in (value or folder).parts:
        if len(os.fsencode(part)) > _MAX_NAME_BYTES:
            raise UserError(
                f"--{flag}={value or folder} cannot be written: a name has more than "
                f"{_MAX_NAME_BYTES} bytes; choose a shorter one"
            )
    existing = folder
    try:
        # A link that leads nowhere exists, too: no folder can be created in its place.
        while not os.path.lexists(existing) and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is not a folder")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(
            f"--{flag}={value or folder} cannot be written: {existing}: {error.strerror}; "
            "choose a folder that you can write to"
        ) from error
    if reason := find_intruder(folder):
        raise UserError(
            f"--{flag}={value or folder} cannot be written: {reason}; choose another folder"
        )
    # Runs that are killed again and again before they write anything must not fill the disk.
    remove_leftovers(existing)


def check_output_folder(path: Path, flag: str, contents: Collection[str]) -> None:
    """Checks that an output folder can be written, or replaced if it exists. Leaves nothing behind.

    A folder that also contains other files is not replaced, because they would be deleted.

    Args:
        path: Path of the folder.
        flag: Name of the flag that `path` is from.
        contents: Names of all files and folders that the program writes to such a folder.

    Raises:
        UserError: If the folder cannot be written, or exists and must not be replaced.
    """
    check_folder_writable(path.parent, flag, value=path)
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        kind = "symbolic link" if path.is_symlink() else "file"
        raise UserError(f"--{flag}={path} must be a folder, but is a {kind}; choose another path")
    if not path.is_dir():
        return
    try:
        others = sorted({entry.name for entry in path.iterdir()} - set(contents))
    except OSError as error:
        raise UserError(
            f"--{flag}={path} cannot be read: {error.strerror}; choose a new folder"
        ) from error
    if others:
        raise UserError(
            f"--{flag}={path} already contains other files, such as {others[0]}, which would be "
            "deleted; choose a new folder"
        )
    _check_replaceable(path, flag)


def check_utf8(path: Path, flag: str) -> None:
    """Raises UserError if a path is not text. Some libraries can only write to such paths.

    Args:
        path: Path from the command line.
        flag: Name of the flag that `path` is from.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"--{flag}={path} cannot be written: its name is not in UTF-8; choose another path"
        ) from error

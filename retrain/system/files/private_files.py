"""Creates folders and opens files in caches, where others must not read or redirect them."""

import errno
import os
import stat
from pathlib import Path

from retrain.system.files.path_owners import find_intruder, is_trusted, is_writable_by_group


def create_private_folders(folder: Path) -> None:
    """Creates a folder and its parents, which only this user can use, if they do not exist.

    In a folder that a group can write to, new folders are for this group, as the umask allows.

    Raises:
        OSError: If a folder cannot be created, or if the last one is a link of another user.
    """
    try:
        folder.mkdir(_new_mode(folder.parent))
    except FileNotFoundError:
        create_private_folders(folder.parent)
        folder.mkdir(_new_mode(folder.parent), exist_ok=True)
    except FileExistsError:
        if not folder.is_dir():
            raise
        if folder.is_symlink() and find_intruder(folder):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder)) from None


def open_private(path: str | os.PathLike[str], flags: int) -> int:
    """Opens a file in a cache. Can be the `opener` of Python's `open`.

    Does not follow a link in place of the file, does not wait for the other end of a pipe, and
    does not write to a file that has another name elsewhere. New files are for this user only, or
    also for the group that shares the folder.

    Args:
        path: Path of the file.
        flags: Flags of `os.open`.

    Returns:
        The file descriptor.

    Raises:
        OSError: If the file cannot be opened, or if another user can have put it there.
    """
    # The content must not be removed before the file is checked.
    safe_flags = flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        mode = _new_mode(Path(path).parent) & 0o666 if flags & os.O_CREAT else 0
        descriptor = os.open(path, safe_flags, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link", str(path)) from error
        raise
    try:
        reason = _reason_to_refuse(Path(path), os.fstat(descriptor), flags)
        if reason:
            raise PermissionError(errno.EPERM, reason, str(path))
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_private(path: Path, *, max_bytes: int = -1) -> bytes:
    """Returns the content of a file in a cache, or its first bytes.

    Args:
        path: Path of the file.
        max_bytes: Maximum number of bytes to read; -1 for all.

    Raises:
        OSError: If `open_private` refuses the file, or if it cannot be read.
    """
    with open(path, "rb", opener=open_private) as file:
        return file.read(max_bytes)


def check_private(path: Path) -> None:
    """Checks a file that a library will open for writing, without opening it.

    Raises:
        OSError: If it does not exist, or if `open_private` would refuse it.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "it is a symbolic link", str(path))
    if reason := _reason_to_refuse(path, status, os.O_RDWR):
        raise PermissionError(errno.EPERM, reason, str(path))


def _reason_to_refuse(path: Path, status: os.stat_result, flags: int) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    if flags & (os.O_WRONLY | os.O_RDWR) and status.st_nlink > 1:
        return "it is a hard link to a file that has another name"
    if path.parent.stat().st_mode & stat.S_IWOTH and not is_trusted(status.st_uid):
        return "it belongs to another user"
    return None


def _new_mode(parent: Path) -> int:
    """Returns the permissions of new folders in a folder."""
    status = parent.stat()
    is_for_everyone = status.st_mode & stat.S_IWOTH
    return 0o770 if is_writable_by_group(status) and not is_for_everyone else 0o700

"""Locks files, so that several processes do not do the same work at the same time."""

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from retrain.system.files.private_files import open_private

_PREFIX = ".lock-"

# Errors of a file system without locks, such as some network file systems.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}


@contextlib.contextmanager
def exclusive_access(path: Path, waiting_message: str) -> Iterator[None]:
    """Waits until no other process has exclusive access to a path, and has it in the block.

    A hidden file next to the path is locked, so that what is at the path can be replaced.

    Args:
        path: Path of a file or folder. It does not have to exist, but its folder does.
        waiting_message: Message to log once if another process has exclusive access.

    Raises:
        OSError: If the hidden file cannot be opened or locked.
    """
    with exclusive_file(path.with_name(f"{_PREFIX}{path.name}"), waiting_message):
        yield


def remove_unused_locks(folder: Path) -> None:
    """Removes the hidden files that killed processes left in a folder."""
    for path in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            _remove_unused_lock(path)


@contextlib.contextmanager
def exclusive_file(path: Path, waiting_message: str) -> Iterator[IO[bytes]]:
    """Opens a file for appending when no other process has it open this way.

    A file that is empty at the end of the block is removed. On a file system without locks, the
    file is opened at once.

    Args:
        path: Path of the file, in an existing folder.
        waiting_message: Message to log once if another process has the file open.

    Raises:
        OSError: If the file cannot be opened or locked.
    """
    is_waiting = False
    while True:
        with open(path, "ab", opener=open_private) as file:
            if not try_lock(file.fileno()):
                if not is_waiting:
                    logging.info("%s", waiting_message)
                is_waiting = True
                _lock(file.fileno())
            if not is_at(file.fileno(), path):
                continue  # The other process has removed or renamed it.
            try:
                yield file
            finally:
                file.flush()
                if not os.fstat(file.fileno()).st_size:
                    # Windows does not remove open files.
                    with contextlib.suppress(PermissionError):
                        path.unlink(missing_ok=True)
            return


def try_lock(descriptor: int, *, without_locks: bool = True) -> bool:
    """Locks an open file until it is closed. On POSIX systems it can also be a folder.

    Args:
        descriptor: File descriptor.
        without_locks: Result for a file system without locks.

    Returns:
        Whether the file is locked now. False if it is locked already, by this or another process.

    Raises:
        OSError: If the file cannot be locked although its file system has locks.
    """
    # Imported here because label_image and the server, which lock nothing, do without it.
    from filelock import lock_descriptor

    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return without_locks


def is_at(descriptor: int, path: Path) -> bool:
    """Returns whether an open file is the one at a path, which others can remove or replace."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _remove_unused_lock(path: Path) -> None:
    with open(path, "ab", opener=open_private) as file:
        is_empty = not os.fstat(file.fileno()).st_size
        if is_empty and try_lock(file.fileno(), without_locks=False) and is_at(file.fileno(), path):
            path.unlink()


def _lock(descriptor: int) -> None:
    from filelock import lock_descriptor

    lock_descriptor(descriptor)

"""Waits until files and folders are on the disk, so that they survive a loss of power."""

import errno
import os
from pathlib import Path

# Errors of systems and file systems that do not flush folders.
_UNSUPPORTED = {errno.EACCES, errno.EBADF, errno.EINVAL, errno.EISDIR, errno.ENOTSUP}


def flush_file(path: Path) -> None:
    """Waits until the content of a file is on the disk.

    Raises:
        OSError: If the file cannot be read or the disk is full or damaged.
    """
    with path.open("rb") as file:
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Waits until the names in a folder are on the disk, if the system can do that.

    Raises:
        OSError: If the disk is full or damaged.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise

"""Waits until files and folders are on the disk, so that they survive a loss of power."""

import errno
import os
from pathlib import Path

# All other errors mean that the system or the file system does not flush folders.
_NOT_WRITTEN = {errno.EIO, errno.ENOSPC, errno.EDQUOT}


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
        if error.errno in _NOT_WRITTEN:
            raise

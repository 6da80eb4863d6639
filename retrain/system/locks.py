"""Keeps processes apart that would do the same work at the same time."""

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

# Of a file system that knows no locks, where two runs are the user's to avoid.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}


@contextlib.contextmanager
def alone(path: Path, waiting: str) -> Iterator[IO[bytes]]:
    """Opens a file to append to it, once no other process does; an empty one is not left behind.

    Args:
        path: of the file, in a folder that exists.
        waiting: what the user is told where another process has it.

    Raises:
        OSError: the file cannot be opened.
    """
    while True:
        with path.open("ab") as file:
            if not lock_now(file.fileno()):
                logging.info("%s", waiting)
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, path):
                continue  # It was finished, or removed, meanwhile.
            try:
                yield file
            finally:
                if not os.fstat(file.fileno()).st_size:
                    path.unlink(missing_ok=True)
            return


def lock_now(descriptor: int) -> bool:
    """Locks an open file or folder until it is closed; False where another process has it.

    Raises:
        OSError: it cannot be locked, although its file system knows locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False

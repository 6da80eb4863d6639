"""Exchanges two files or folders in one step, if the system and the file system support it."""

import ctypes
import errno
import os
import sys
from pathlib import Path

# <linux/fcntl.h> and <linux/fs.h>, for renameat2(2).
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# <sys/stdio.h>, for renamex_np(2) of macOS.
_RENAME_SWAP = 2

# Errors of kernels and file systems that do not have the call.
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class ExchangeUnsupportedError(Exception):
    """The system or the file system cannot exchange two names in one step."""


def exchange(first: Path, second: Path) -> None:
    """Exchanges the names of two files, folders or symbolic links on the same file system.

    Both names exist at every moment.

    Raises:
        ExchangeUnsupportedError: If the system or the file system cannot do this.
        OSError: If one of the two does not exist or cannot be renamed.
    """
    error = _exchange(os.fsencode(first), os.fsencode(second))
    if error in _UNSUPPORTED:
        raise ExchangeUnsupportedError
    if error:
        raise OSError(error, os.strerror(error), str(first), None, str(second))


def _exchange(first: bytes, second: bytes) -> int:
    """Returns 0 or an error number."""
    if os.name != "posix":
        return errno.ENOSYS
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        failed = libc.renamex_np(first, second, ctypes.c_uint(_RENAME_SWAP))
    elif hasattr(libc, "renameat2"):
        here = ctypes.c_int(_AT_FDCWD)
        failed = libc.renameat2(here, first, here, second, ctypes.c_uint(_RENAME_EXCHANGE))
    else:
        return errno.ENOSYS
    return ctypes.get_errno() if failed else 0

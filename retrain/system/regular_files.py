"""Reads files, but refuses pipes, sockets and devices, which could block forever or never end."""

import errno
import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_regular_file(path: Path) -> bytes:
    """Returns the content of a file.

    Raises:
        OSError: If the path is not a file, or the file cannot be read. `strerror` says why.
    """
    check_not_special(path)
    return path.read_bytes()


def check_not_special(path: Path) -> None:
    """Checks that a path exists and is a file or a folder. Does not open it.

    Raises:
        OSError: If the path does not exist, or is a pipe, socket or device.
    """
    mode = path.stat().st_mode
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise OSError(errno.EINVAL, f"it is {name}, not a file", str(path))

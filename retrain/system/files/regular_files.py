"""Reads files, but refuses pipes, sockets and devices, which could block forever or never end."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_SPECIAL_FILES = {
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}
# Windows has the second flag, other systems the third.
READ_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_PIECE_BYTES = 1 << 20


def describe_special_file(mode: int) -> str | None:
    """Returns "pipe", "socket" or "device" for the mode of one, or None for other files."""
    return _SPECIAL_FILES.get(stat.S_IFMT(mode))


def is_special(path: Path) -> bool:
    """Returns whether there is a pipe, socket or device at a path."""
    return path.exists() and describe_special_file(path.stat().st_mode) is not None


def read_regular_file(path: Path, max_bytes: int | None = None) -> bytes:
    """Returns the content of a file.

    Args:
        path: Path of the file.
        max_bytes: Maximum size of the file; None for any size.

    Raises:
        OSError: If the path is not a file, or the file cannot be read or is larger. `strerror` says
            why.
    """
    with open_regular_file(path) as file:
        return file.read() if max_bytes is None else read_bounded(file, max_bytes)


def open_regular_file(path: Path) -> BinaryIO:
    """Opens a file for reading.

    Raises:
        OSError: If the path is not a file, or the file cannot be opened. `strerror` says why.
    """
    # Opening a device can already have an effect.
    check_not_special(path)
    file = open(path, "rb", opener=lambda name, _: os.open(name, READ_FLAGS))  # noqa: SIM115
    try:
        # Another file can have taken its place.
        _refuse_special(os.fstat(file.fileno()).st_mode, path)
    except OSError:
        file.close()
        raise
    return file


def read_bounded(file: BinaryIO, max_bytes: int) -> bytes:
    """Returns the content of an open file, or refuses it before more than `max_bytes` are read.

    Raises:
        OSError: If the file is larger, grows beyond `max_bytes`, or cannot be read.
    """
    size = os.fstat(file.fileno()).st_size
    if size > max_bytes:
        raise OSError(errno.EFBIG, _too_large(f"it has {size:,} bytes", max_bytes), file.name)
    # A file of the system can state no size, and any file can grow.
    pieces = [file.read(size + 1) or b""]
    total = len(pieces[0])
    while pieces[-1] and total > size:
        if total > max_bytes:
            raise OSError(
                errno.EFBIG, _too_large("it has more bytes than it states", max_bytes), file.name
            )
        pieces.append(file.read(min(_PIECE_BYTES, max_bytes + 1 - total)) or b"")
        total += len(pieces[-1])
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def check_not_special(path: Path) -> None:
    """Checks that a path exists and is a file or a folder. Does not open it.

    Raises:
        OSError: If the path does not exist, or is a pipe, socket or device.
    """
    _refuse_special(path.stat().st_mode, path)


def _refuse_special(mode: int, path: Path) -> None:
    name = describe_special_file(mode)
    if name:
        raise OSError(errno.EINVAL, f"it is a {name}, not a file", str(path))


def _too_large(what: str, max_bytes: int) -> str:
    return f"{what}, more than the maximum of {max_bytes:,}"

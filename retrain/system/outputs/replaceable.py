"""Checks that an existing file or folder can be replaced, without changing it."""

import errno
import os
import stat
from pathlib import Path

# Linux lists the mount points of this process here; see proc_pid_mountinfo(5).
_MOUNTS = Path("/proc/self/mountinfo")
_MOUNT_POINT_COLUMN = 4

_PROTECTED = (
    "it cannot be replaced, because it is protected or belongs to another user; choose another path"
)


def check_replaceable(path: Path) -> None:
    """Checks that what is at a path can be renamed and replaced, if there is anything.

    Raises:
        OSError: If it cannot. `strerror` says why, and what to do.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if is_mount_point(path):
        advice = f"name a folder in it, such as {path / '1'}"
        if not stat.S_ISDIR(mode):
            advice = "mount the folder that contains it instead"
        raise OSError(errno.EBUSY, f"it is a mount point, which cannot be replaced; {advice}")
    if stat.S_ISDIR(mode):
        if not os.access(path, os.W_OK):
            raise OSError(errno.EACCES, f"{os.strerror(errno.EACCES)}: {_PROTECTED}")
        if not any(path.iterdir()):
            return
    try:
        # Fails for all files, and for all folders that are not empty. The error is another one if
        # they are immutable, or another user's in a folder with the sticky bit.
        path.rmdir()
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST):
            return
        raise OSError(error.errno, f"{error.strerror}: {_PROTECTED}") from error


def is_mount_point(path: Path) -> bool:
    """Returns whether a file system, or a part of one, is mounted at the path of a file or folder.

    `os.path.ismount` does not recognise files and folders that are mounted from the same file
    system, as containers do it.
    """
    if path.is_mount():
        return True
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return False
    real = os.fsencode(path.parent.resolve() / path.name)
    escaped = b"".join(b"\\%03o" % byte if byte in b" \t\n\\" else bytes((byte,)) for byte in real)
    return escaped in (line.split(b" ")[_MOUNT_POINT_COLUMN] for line in lines)

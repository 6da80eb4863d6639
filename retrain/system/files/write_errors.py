"""Turns errors of writing files into one line that tells the user what to correct."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from retrain.errors import UserError

# Errors that the user can correct: by freeing space, changing permissions or using another path.
CANNOT_WRITE = {
    errno.EACCES,
    errno.EBUSY,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EFBIG,
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.ENOTEMPTY,
    errno.EPERM,
    errno.EROFS,
    errno.EXDEV,  # A folder in a lower layer of a container's file system cannot be renamed.
}
# Errors of a disk that is full, over quota or damaged. Libraries only mention them in their texts.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


@contextlib.contextmanager
def as_user_error(path: Path | str) -> Iterator[None]:
    """Turns an OSError that the user can correct into a UserError about a path.

    Args:
        path: The path, or the flag and the path.
    """
    try:
        yield
    except OSError as error:
        if error.errno in CANNOT_WRITE:
            raise cannot_write(path, error.strerror) from error
        raise


def cannot_write(path: Path | str, reason: str | None) -> UserError:
    """Returns the error for a path that cannot be written.

    Args:
        path: The path, or the flag and the path.
        reason: Ends with the system's text of the error. If the disk is full, the message also says
            what to do.
    """
    advice = "; free some space, or choose another folder" if str(reason).endswith(_FULL) else ""
    return UserError(f"{path} cannot be written: {reason}{advice}")


def disk_error(error: BaseException | None) -> str | None:
    """Returns the system's text of a disk error that a library mentions in an exception.

    Args:
        error: Any exception. Those that it was raised from count as well.
    """
    while error is not None:
        for number in _DISK_ERRORS:
            text = os.strerror(number)
            if text.lower() in str(error).lower() or getattr(error, "errno", None) == number:
                return text
        error = error.__cause__ or error.__context__
    return None

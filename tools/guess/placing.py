"""Puts one image into a folder, so that it is not lost or another one overwritten.

An image gets its name in one step, when all of it is on the disk, and a moved one leaves its old
place only after that.
"""

import contextlib
import errno
import filecmp
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

COPY = "copy"
MOVE = "move"
HARD = "hard"
SYMBOLIC = "symbolic"

_PIECE = 1 << 20

# What file systems without hard links say, or kernels that allow them for one's own files alone.
_NO_HARD_LINKS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
# What file systems say to names that they do not take.
_IMPOSSIBLE_NAME = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}


class NotFiledError(Exception):
    """One image stays where it is; the message says why."""


class FullError(Exception):
    """Nothing can be written any more; the message says where and why."""


class Placing(NamedTuple):
    """An image, and where it is to be; absolute paths."""

    source: Path
    target: Path


class State(NamedTuple):
    """What tells whether a file was written meanwhile: numbers of `os.stat`."""

    device: int
    inode: int
    size: int
    changed_ns: int


def put(placing: Placing, how: str) -> State:
    """Makes the target, but for a MOVE leaves the source; finds out where that was done before.

    Args:
        placing: what, and where.
        how: COPY, MOVE, HARD or SYMBOLIC.

    Returns:
        The state of the source that the target was made from.

    Raises:
        NotFiledError: it is not possible with this image.
        FullError: nothing can be written there.
    """
    source, target = placing
    state = _state(source)
    if os.path.lexists(target):
        if not _was_placed(placing, how):
            raise NotFiledError(f"there is another file at {target}")
        return state
    _make_folder(target.parent)
    if how == SYMBOLIC:
        _link_symbolically(source, target)
    elif how == HARD:
        _link_hard(source, target)
    elif how == MOVE and source.is_symlink():
        # A relative link would lead elsewhere from there.
        _link_symbolically(Path(os.path.realpath(source)), target)
    elif how == COPY or not _linked(source, target):
        return _copy(source, target)
    return state


def take_away(placing: Placing, state: State) -> None:
    """Removes the source of an image that `put` has put at its target.

    Raises:
        NotFiledError: it cannot be removed, or has changed since.
    """
    source, target = placing
    if _state(source) != state:
        raise NotFiledError(f"it was changed while it was copied; what it was before is {target}")
    try:
        source.unlink(missing_ok=True)
    except OSError as error:
        target.unlink()
        raise NotFiledError(f"it cannot be taken away: {error.strerror}") from error


def discard_leftovers(placing: Placing) -> None:
    """Removes what is left where a program was stopped before an image had all of its new file."""
    source, target = placing
    with contextlib.suppress(OSError):
        _temporary(target).unlink(missing_ok=True)
        # The name that `_rename` reserved.
        if target.lstat().st_size == 0 and source.stat().st_size > 0:
            target.unlink()


def can_replace(one: Path, other: Path) -> bool:
    """Tells whether all of the file `other` is left in `one` when `other` is removed."""
    if one.resolve() == other.parent.resolve() / other.name:
        return False
    if one.is_symlink() and other.is_symlink() and one.resolve() == other.resolve():
        return True
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _was_placed(placing: Placing, how: str) -> bool:
    source, target = placing
    try:
        if how == SYMBOLIC:
            return target.readlink() == source
        if how == HARD:
            return target.samefile(source)
    except OSError:
        return False
    return can_replace(target, source)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise FullError(f"{folder} is a file, where a folder is needed") from error
    except OSError as error:
        raise FullError(f"{folder} cannot be made: {error.strerror}") from error


def _state(source: Path) -> State:
    try:
        status = source.lstat()
    except FileNotFoundError as error:
        raise NotFiledError("it has vanished meanwhile") from error
    except OSError as error:
        raise NotFiledError(f"it cannot be read: {error.strerror}") from error
    return State(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _link_symbolically(source: Path, target: Path) -> None:
    with _explaining(target):
        target.symlink_to(source)


def _link_hard(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise NotFiledError(
                f"it is on another file system than {target.parent}, where no hard link leads to; "
                "use --link=symbolic, or copy"
            ) from error
        if error.errno in _NO_HARD_LINKS:
            raise NotFiledError(
                f"no hard link to it can be made in {target.parent}: {error.strerror}; "
                "use --link=symbolic, or copy"
            ) from error
        raise _explained(error, target) from error


def _linked(source: Path, target: Path) -> bool:
    """Gives an image its new name beside the old one, without copying, where that is possible."""
    with _explaining(target):
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno in _NO_HARD_LINKS or error.errno == errno.EXDEV:
                return False
            raise
    return True


def _copy(source: Path, target: Path) -> State:
    temporary = _temporary(target)
    try:
        with source.open("rb") as original:
            status = os.fstat(original.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise NotFiledError("it is no file any more")
            with _explaining(target):
                temporary.unlink(missing_ok=True)
                with temporary.open("xb") as copied:
                    for piece in _pieces(original):
                        copied.write(piece)
                    copied.flush()
                    with contextlib.suppress(OSError):  # Not all can be said on all file systems.
                        shutil.copystat(source, temporary)
                    os.fsync(copied.fileno())
        with _explaining(target):
            _rename(temporary, target)
    except OSError as error:
        raise _unreadable(error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return State(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while True:
        try:
            piece = file.read(_PIECE)
        except OSError as error:
            raise _unreadable(error) from error
        if not piece:
            return
        yield piece


def _unreadable(error: OSError) -> NotFiledError:
    if isinstance(error, FileNotFoundError):
        return NotFiledError("it has vanished meanwhile")
    return NotFiledError(f"it cannot be read: {error.strerror}")


def _rename(temporary: Path, target: Path) -> None:
    """Renames a file, never over another one."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # No other program may take the name in between.
        target.open("xb").close()
        temporary.replace(target)


def _explained(error: OSError, target: Path) -> Exception:
    if isinstance(error, FileNotFoundError) and target.parent.is_dir():
        return NotFiledError("it has vanished meanwhile")
    if isinstance(error, FileExistsError):
        return NotFiledError(f"there is another file at {target}")
    if error.errno in _IMPOSSIBLE_NAME:
        return NotFiledError(f"{target} is not possible there: {error.strerror}")
    return FullError(f"{target.parent} cannot be written: {error.strerror}")


@contextlib.contextmanager
def _explaining(target: Path) -> Iterator[None]:
    """Raises what `_explained` makes of an OSError in the block."""
    try:
        yield
    except OSError as error:
        raise _explained(error, target) from error


def _temporary(target: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    return target.parent / f".guess_dir-{digest}.part"

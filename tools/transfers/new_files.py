"""Creates copies of files and links to files. Never replaces an existing file."""

import contextlib
import errno
import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from retrain.system.files.flush import flush_folder
from retrain.system.files.regular_files import open_regular_file
from tools.transfers.errors import TransferError, UnwritableError

_CHUNK_BYTES = 1 << 20
_NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# Errors of links to another file system, of file systems without hard links, and of kernels that
# allow users to link only their own files.
NO_HARD_LINKS = {
    *(errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
}
# Errors of file systems for names that they do not support.
_INVALID_NAME = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}


def read_status(file: Path) -> os.stat_result:
    """Returns the result of `lstat`.

    Raises:
        TransferError: If the file does not exist or cannot be read.
    """
    try:
        return file.lstat()
    except OSError as error:
        raise _unreadable(error) from error


def is_unchanged(before: os.stat_result, after: os.stat_result) -> bool:
    """Returns whether a file was neither replaced nor written between two calls of `stat`."""
    return os.path.samestat(before, after) and (
        (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    )


def create_folder(folder: Path) -> None:
    """Creates a folder and its parents if they do not exist.

    Raises:
        UnwritableError: If the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UnwritableError(f"{folder} is a file, but must be a folder") from error
    except OSError as error:
        raise UnwritableError(f"{folder} cannot be created: {error.strerror}") from error


def try_hard_link(source: Path, target: Path) -> OSError | None:
    """Creates a hard link; returns the error if the file systems do not allow it.

    Raises:
        OSError: If the link is not possible for another reason.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        return error
    return None


def copy(source: Path, target: Path) -> os.stat_result:
    """Copies a file with its metadata. `target` appears only when its content is on the disk.

    Returns:
        The status of `source` before it was copied.

    Raises:
        TransferError: If `source` cannot be read or the name of `target` is not possible.
        UnwritableError: If the folder of `target` cannot be written.
    """
    try:
        with open_regular_file(source) as original:
            status = os.fstat(original.fileno())
            with translated_errors(target):
                copy_open_file(original.fileno(), target)
    except OSError as error:
        raise _unreadable(error) from error
    return status


def copy_open_file(original: int, target: str | Path, *, folder: int | None = None) -> None:
    """Copies an open file with its metadata, like `copy`.

    Args:
        original: Descriptor of the file.
        target: Path of the copy, or its name if `folder` is set.
        folder: Descriptor of the folder of the copy.

    Raises:
        TransferError: If the original cannot be read.
        OSError: If the copy cannot be written.
    """
    temporary = temporary_path(Path(target))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    copied = os.open(temporary, _NEW_FILE_FLAGS, 0o600, dir_fd=folder)
    try:
        for chunk in _chunks(original):
            while chunk:
                chunk = chunk[os.write(copied, chunk) :]
        # Some file systems do not support all metadata. Unlike paths, descriptors cannot lead to a
        # file that another user puts there.
        copy_status: Callable[[Any, Any], None] = shutil.copystat  # Its type omits descriptors.
        with contextlib.suppress(OSError):
            copy_status(original, copied)
        os.fsync(copied)
        _rename_without_replacing(temporary, target, folder)
    finally:
        os.close(copied)
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)


def temporary_path(target: Path) -> Path:
    """Returns the path of the incomplete copy that becomes `target`."""
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    return target.parent / f".guess_dir-{digest}.part"


def _rename_without_replacing(temporary: Path, target: str | Path, folder: int | None) -> None:
    """Gives a file its final name, unless another file has it."""
    try:
        os.link(temporary, target, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        # Reserves the name, so that no other program can take it before the file is renamed.
        os.close(os.open(target, _NEW_FILE_FLAGS, 0o600, dir_fd=folder))
        os.rename(temporary, target, src_dir_fd=folder, dst_dir_fd=folder)


def sync_folder(folder: Path) -> None:
    """Waits until the entries of a folder are on the disk, if the file system supports this.

    Raises:
        UnwritableError: If the entries cannot be written.
    """
    try:
        flush_folder(folder)
    except OSError as error:
        raise UnwritableError(f"{folder} cannot be written: {error.strerror}") from error


def sync_folders(folders: Iterable[Path]) -> None:
    """Waits until new files in folders are on the disk, with the entries of the folders themselves.

    guess_dir creates at most two folders, one in the other, such as `unsure/cat`.

    Raises:
        UnwritableError: If the entries cannot be written.
    """
    chains = ((folder, *folder.parents[:2]) for folder in folders)
    for folder in set(itertools.chain.from_iterable(chains)):
        sync_folder(folder)


def _chunks(descriptor: int) -> Iterator[bytes]:
    position = 0
    while True:
        try:
            chunk = os.pread(descriptor, _CHUNK_BYTES, position)
        except OSError as error:
            raise _unreadable(error) from error
        if not chunk:
            return
        yield chunk
        position += len(chunk)


def _unreadable(error: OSError) -> TransferError:
    if isinstance(error, FileNotFoundError):
        return TransferError("it no longer exists")
    return TransferError(f"it cannot be read: {error.strerror}")


@contextlib.contextmanager
def translated_errors(target: Path) -> Iterator[None]:
    """Raises TransferError or UnwritableError for an OSError of writing `target`."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError) and target.parent.is_dir():
            raise TransferError("it no longer exists") from error
        if isinstance(error, FileExistsError):
            raise TransferError(f"{target} already exists") from error
        if error.errno in _INVALID_NAME:
            reason = f"{target} is not a valid name there: {error.strerror}"
            raise TransferError(reason) from error
        raise UnwritableError(f"{target.parent} cannot be written: {error.strerror}") from error

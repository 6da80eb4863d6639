"""Creates copies of files and links to files. Never replaces an existing file."""

import contextlib
import errno
import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from retrain.system.files.flush import flush_folder
from retrain.system.files.regular_files import open_regular_file
from tools.guess.errors import TransferError, UnwritableError

_CHUNK_BYTES = 1 << 20

# Errors of file systems without hard links, and of kernels that allow users to link only their own
# files.
NO_HARD_LINKS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
# Errors of file systems for names that they do not support.
_INVALID_NAME = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}


class FileState(NamedTuple):
    """Values of `os.stat` that change when a file is replaced or written."""

    device: int
    inode: int
    size: int
    modified_ns: int


def read_state(file: Path) -> FileState:
    """Returns the state of a file. Does not follow a symbolic link.

    Raises:
        TransferError: If the file does not exist or cannot be read.
    """
    try:
        return _state(file.lstat())
    except OSError as error:
        raise _unreadable(error) from error


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


def create_symbolic_link(source: Path, target: Path) -> None:
    """Creates a symbolic link to `source` at `target`.

    Raises:
        TransferError: If the link is not possible.
        UnwritableError: If the folder of `target` cannot be written.
    """
    with translated_errors(target):
        target.symlink_to(source)


def create_hard_link(source: Path, target: Path) -> None:
    """Creates a hard link to `source` at `target`.

    Raises:
        TransferError: If the link is not possible.
        UnwritableError: If the folder of `target` cannot be written.
    """
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise TransferError(
                f"no hard link to it is possible in {target.parent}, which is on another file "
                "system; use --link=symbolic, or copy the images"
            ) from error
        if error.errno in NO_HARD_LINKS:
            raise TransferError(
                f"no hard link to it is possible in {target.parent}: {error.strerror}; "
                "use --link=symbolic, or copy the images"
            ) from error
        raise _translate(error, target) from error


def try_hard_link(source: Path, target: Path) -> bool:
    """Creates a hard link if the file systems allow it; returns whether they do.

    Raises:
        TransferError: If the link is not possible for another reason.
        UnwritableError: If the folder of `target` cannot be written.
    """
    with translated_errors(target):
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno in NO_HARD_LINKS or error.errno == errno.EXDEV:
                return False
            raise
    return True


def copy(source: Path, target: Path) -> FileState:
    """Copies a file with its metadata. `target` appears only when its content is on the disk.

    Returns:
        The state of `source` before it was copied.

    Raises:
        TransferError: If `source` cannot be read or the name of `target` is not possible.
        UnwritableError: If the folder of `target` cannot be written.
    """
    temporary = temporary_path(target)
    try:
        with open_regular_file(source) as original:
            status = os.fstat(original.fileno())
            with translated_errors(target):
                temporary.unlink(missing_ok=True)
                with temporary.open("xb") as copied:
                    copy_content(original.fileno(), copied.fileno())
                    copy_metadata(original.fileno(), copied.fileno())
                    os.fsync(copied.fileno())
        with translated_errors(target):
            rename_without_replacing(temporary, target)
    except OSError as error:
        raise _unreadable(error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return _state(status)


def temporary_path(target: Path) -> Path:
    """Returns the path of the incomplete copy that becomes `target`."""
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    return target.parent / f".guess_dir-{digest}.part"


def copy_content(original: int, copied: int) -> None:
    """Copies the content of an open file to another one.

    Raises:
        TransferError: If the original cannot be read.
        OSError: If the copy cannot be written.
    """
    for chunk in _chunks(original):
        while chunk:
            chunk = chunk[os.write(copied, chunk) :]


def copy_metadata(original: int, copied: int) -> None:
    """Copies the permissions, times and extended attributes of an open file to another one.

    Unlike paths, descriptors cannot lead to a file that another user puts there.
    """
    copy_status: Callable[[Any, Any], None] = shutil.copystat  # Its type omits descriptors.
    # Some file systems do not support all metadata.
    with contextlib.suppress(OSError):
        copy_status(original, copied)


def rename_without_replacing(
    temporary: str | Path, target: str | Path, *, folder: int | None = None
) -> None:
    """Gives a file its final name, unless another file has it.

    Args:
        temporary: Present path or name.
        target: Final path or name.
        folder: Descriptor of the folder that both names are in; None for paths.

    Raises:
        OSError: If `target` exists, or the folder cannot be written.
    """
    try:
        os.link(temporary, target, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        # Reserves the name, so that no other program can take it before the file is renamed.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder))
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


def _state(status: os.stat_result) -> FileState:
    return FileState(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


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
        raise _translate(error, target) from error


def _translate(error: OSError, target: Path) -> Exception:
    """Returns the TransferError or UnwritableError for an error of writing `target`."""
    if isinstance(error, FileNotFoundError) and target.parent.is_dir():
        return TransferError("it no longer exists")
    if isinstance(error, FileExistsError):
        return TransferError(f"{target} already exists")
    if error.errno in _INVALID_NAME:
        return TransferError(f"{target} is not a valid name there: {error.strerror}")
    return UnwritableError(f"{target.parent} cannot be written: {error.strerror}")

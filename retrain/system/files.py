"""The user's paths, and files and folders that are written whole or not at all."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from retrain.errors import UserError

_CANNOT_WRITE = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EFBIG,
    errno.EIO,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def user_path(path: str | os.PathLike[str]) -> Path:
    """Returns `path` as an absolute path, relative to the folder where the user typed the command.

    `bazel run` starts programs in another folder, and names the user's in an environment variable:
    https://bazel.build/docs/user-manual#running-executables
    """
    folder = os.environ.get("BUILD_WORKING_DIRECTORY") or Path.cwd()
    expanded = os.path.expanduser(path)  # noqa: PTH111 (Path's raises where ~name is a file's name)
    return Path(os.path.normpath(Path(folder, expanded)))


def check_writable(path: Path, flag: str) -> None:
    """Raises UserError where a file could not be written at `path`, which `flag` asked for.

    Nothing is left behind, so that a run that fails later has written nothing.
    """
    check_folder_writable(path.parent, flag, path)
    if path.is_dir():
        raise UserError(f"--{flag}={path} is a folder; name a file in it")
    if _is_special(path):
        raise UserError(f"--{flag}={path} is not a regular file; name one")


def check_folder_writable(folder: Path, flag: str, value: Path | None = None) -> None:
    """Raises UserError where no file could be made in `folder`, or the folder could not be made."""
    existing = folder
    try:
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir():
            raise NotADirectoryError(20, "it is not a folder")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(
            f"--{flag}={value or folder} cannot be written: {existing}: {error.strerror}; "
            "name a place where you may write"
        ) from error


def check_output_folder(path: Path, flag: str, contents: Collection[str]) -> None:
    """Raises UserError where `atomic_folder` should not write `path`, which `flag` asked for.

    A folder with other things in it is the user's, and is not replaced.

    Args:
        path: of the folder to be.
        flag: that named it.
        contents: names of all that a folder of its kind can have in it.
    """
    check_folder_writable(path.parent, flag, path)
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise UserError(f"--{flag}={path} is to become a folder, but is a file; name another place")
    if not path.is_dir():
        return
    others = sorted({entry.name for entry in path.iterdir()} - set(contents))
    if others:
        raise UserError(
            f"--{flag}={path} has something else in it, {others[0]}, which would be lost; "
            "name a new folder"
        )


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, and renames it to `path` when the block ends well.

    A folder that was there before is moved away first and deleted then, so that whoever reads
    `path` meets the old one or the new one, whole, or for a moment none.

    Raises:
        UserError: the disk is full, the place cannot be written, or a file is there.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} cannot be written: there is a file of that name")
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:50]}.", dir=path.parent))
        # As in `atomic_file`.
        new = Path(temporary, f"new{path.suffix[:50]}")
        new.mkdir()
        yield new
        for entry in (new, *new.rglob("*")):
            entry.chmod((0o777 if entry.is_dir() else 0o666) & ~_umask())
            _flush_to_disk(entry)
        old = Path(temporary, "old")
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    except OSError as error:
        if error.errno in _CANNOT_WRITE:
            raise UserError(f"{path} cannot be written: {error.strerror}") from error
        raise
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def _flush_to_disk(file: Path) -> None:
    if file.is_file():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and renames it to `path` when the block ends well.

    Whoever reads `path` meets the old file or the new one, whole, also after the process or the
    machine stopped in between. The folder is made where it is missing.

    Raises:
        UserError: the disk is full, the place cannot be written, or a device or pipe is there.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_special(path):
            raise UserError(f"{path} cannot be written: it is not a regular file")
        # Some programs know kinds of files by the ends of their names alone.
        descriptor, name = tempfile.mkstemp(
            path.suffix[:50], prefix=f".{path.stem[:50]}.", dir=path.parent
        )
        os.close(descriptor)
        temporary = Path(name)
        yield temporary
        _flush_to_disk(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _CANNOT_WRITE:
            raise UserError(f"{path} cannot be written: {error.strerror}") from error
        raise


def write_file(path: Path, content: str | bytes) -> None:
    """Writes `content` (text as UTF-8) to `path` as `atomic_file` does."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def _is_special(path: Path) -> bool:
    """Tells whether a device or a pipe is at `path`: renaming would destroy it for everybody."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask

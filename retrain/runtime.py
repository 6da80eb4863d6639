"""What a program needs from the machine: the user's paths, whole files, messages and threads."""

import contextlib
import errno
import io
import logging
import os
import shutil
import sys
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

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

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Native libraries write to descriptor 2 and not to sys.stderr, so the two can be told apart.
_stderr_lock = threading.Lock()
_quiet_depth = 0
_native_stderr = -1


def user_path(path: str | os.PathLike[str]) -> Path:
    """Returns `path` as an absolute path, relative to the folder where the user typed the command.

    `bazel run` starts programs in another folder, and names the user's in an environment variable:
    https://bazel.build/docs/user-manual#running-executables
    """
    folder = os.environ.get("BUILD_WORKING_DIRECTORY") or Path.cwd()
    expanded = os.path.expanduser(path)  # noqa: PTH111 (Path's raises where ~name is a file's name)
    return Path(os.path.normpath(Path(folder, expanded)))


def set_up_messages() -> None:
    """Sends messages to standard error as plain lines, and keeps native libraries off Python's."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLineFormatter())
    # Libraries have loggers of their own, and tell there what they are doing.
    handler.addFilter(lambda record: record.name == "root" or record.levelno >= logging.ERROR)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def one_line(text: object) -> str:
    """Returns `text` with everything that is not printable escaped.

    Names of files can hold line ends and terminal codes; a line must stay a line for who greps it.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode()
        for c in str(text)
    )


class _OneLineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno <= logging.INFO else f"{record.levelname.capitalize()}: "
        return prefix + one_line(record.getMessage())


@contextlib.contextmanager
def quiet_native_libraries() -> Iterator[None]:
    """Drops what native code writes to standard error meanwhile, in all threads.

    TensorFlow and LiteRT greet there when they are loaded, whatever their log level is.
    What they have to say about failures arrives as exceptions.
    """
    global _quiet_depth, _native_stderr
    with _stderr_lock:
        _quiet_depth += 1
        if _quiet_depth == 1:
            _native_stderr = os.dup(2)
            with Path(os.devnull).open("w") as devnull:
                os.dup2(devnull.fileno(), 2)
    try:
        yield
    finally:
        with _stderr_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                os.dup2(_native_stderr, 2)
                os.close(_native_stderr)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Drops also what libraries print, log and warn of in Python, in all threads.

    Nothing of this program may log meanwhile, for it would be lost, too.
    """
    disabled = logging.root.manager.disable
    with (
        quiet_native_libraries(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.disable()
        try:
            yield
        finally:
            logging.disable(disabled)


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


def processors() -> int:
    """Returns how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parallel_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], workers: int
) -> Generator[_Result, None, None]:
    """Yields `function(item)` for each item, in order, computed by `workers` threads.

    At most `16 * workers` results wait to be taken, so memory does not grow with the number of
    items. An exception of `function` is raised here. When the caller stops early, the items that
    have not begun never do. A single worker is the caller itself.
    """
    if workers == 1:
        # A thread more would cost more than many a small function takes.
        yield from map(function, items)
        return
    pending: deque[Future[_Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= 16 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def load_in_background(function: Callable[[], object]) -> None:
    """Starts `function`, which loads something that is needed later, in a thread of its own.

    An error there is of no consequence: whoever needs the thing loads it again and gets the error.
    """

    def load() -> None:
        with contextlib.suppress(Exception):
            function()

    threading.Thread(target=load).start()

"""Writes a single file or folder, which then replaces the old one in one step."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from retrain.system.outputs.staging import Staging


@contextlib.contextmanager
def atomic_file(path: Path, *, flag: str | None = None) -> Iterator[Path]:
    """Yields the path of a new empty file that replaces `path` if the block succeeds.

    See `Staging`, which this uses for a single file.

    Args:
        path: Path of the file.
        flag: Name of the flag that `path` is from, for error messages.

    Raises:
        UserError: If the disk is full, the folder cannot be written, or `path` is not a file.
    """
    with Staging({flag: path} if flag else None) as staging:
        yield staging.file(path)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields the path of a new empty folder that replaces `path` if the block succeeds.

    See `Staging`, which this uses for a single folder.

    Raises:
        UserError: If the disk is full, the folder cannot be written, or `path` is a file.
    """
    with Staging() as staging:
        yield staging.folder(path)


def write_file(path: Path, content: str | bytes) -> None:
    """Writes a file with `atomic_file`. Text is encoded as UTF-8."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)

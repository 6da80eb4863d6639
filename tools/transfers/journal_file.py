"""Opens the file of a journal: locked, append-only, and written to the disk on request."""

import errno
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from retrain.errors import UserError
from retrain.system.files import locks
from retrain.system.files.private_files import open_private
from tools.transfers.errors import UnwritableError
from tools.transfers.new_files import sync_folder

# A batch of images with the scores of 10,000 labels has 20 MB.
_MAX_LINE_BYTES = 1 << 26


class JournalFile:
    """A file that no other process can open as a journal until it is closed.

    Attributes:
        path: Path of the file.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file, or creates an empty one.

        Raises:
            UserError: If the file is in use or cannot be written.
        """
        self.path = path
        try:
            self._descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from error
        try:
            self._lock()
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        if not locks.try_lock(self._descriptor):
            raise UserError(
                f"another guess_dir is sorting images into {self.path.parent}; wait until it ends"
            )
        if os.fstat(self._descriptor).st_nlink == 0:
            raise UserError(
                f"another guess_dir has just finished in {self.path.parent}; run the command again"
            )

    def lines(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yields lines with their line ends. The last line can lack one.

        Raises:
            ValueError: If a line is longer than any line of a journal.
            OSError: If another file has taken the place of the journal.
        """
        with open(self.path, "rb", opener=open_private) as file:
            if not os.path.samestat(os.fstat(file.fileno()), os.fstat(self._descriptor)):
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(self.path))
            yield from islice(_bounded_lines(file), start, stop)

    def append(self, data: bytes) -> None:
        """Appends to the file.

        Raises:
            UnwritableError: If the data cannot be written, for example because the disk is full.
        """
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            raise self._unwritable(error) from error

    def sync(self) -> None:
        """Waits until the content is on the disk.

        Raises:
            UnwritableError: If the content cannot be written.
        """
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._unwritable(error) from error

    def truncate(self, size: int) -> None:
        """Removes everything after the first `size` bytes."""
        os.ftruncate(self._descriptor, size)

    def remove(self) -> None:
        """Removes the file from its folder."""
        self.path.unlink()
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Closes and unlocks the file."""
        os.close(self._descriptor)

    def _unwritable(self, error: OSError) -> UnwritableError:
        return UnwritableError(f"{self.path} cannot be written: {error.strerror}")


def _bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(_MAX_LINE_BYTES + 1):
        if len(line) > _MAX_LINE_BYTES:
            raise ValueError(f"a line has more than {_MAX_LINE_BYTES:,} bytes")
        yield line

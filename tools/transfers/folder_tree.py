"""Opens what is in a folder without following links, even if others change it at the same time."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools.transfers.errors import TransferError, UnwritableError

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class Place(NamedTuple):
    """An entry of an open folder, which does not have to exist.

    Attributes:
        folder: Descriptor of the folder.
        name: Name in the folder.
        path: Path, for messages.
    """

    folder: int
    name: str
    path: Path

    def status(self) -> os.stat_result | None:
        """Returns the result of `lstat`, or None if the entry does not exist."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def open_file(self, *, follow_link: bool = False) -> Iterator[int]:
        """Opens a regular file for reading, and yields its descriptor.

        Args:
            follow_link: Whether the entry can be a link.

        Raises:
            TransferError: If the entry is missing, or is something else.
        """
        flags = _FILE_FLAGS if follow_link else _FILE_FLAGS | os.O_NOFOLLOW
        try:
            descriptor = os.open(self.name, flags, dir_fd=self.folder)
        except OSError as error:
            raise TransferError(f"{self.path} cannot be read: {error.strerror}") from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise TransferError(f"{self.path} is not a regular file")
            yield descriptor
        finally:
            os.close(descriptor)


class FolderTree:
    """A folder in which no part of a path is a link."""

    def __init__(self, root: Path) -> None:
        """Does not open anything yet.

        Args:
            root: Path of the folder, without links. It does not have to exist.
        """
        self.root = root

    @contextlib.contextmanager
    def place(self, name: str, *, create: bool = False) -> Iterator[Place | None]:
        """Yields the place with a name, or None if its folder does not exist.

        Args:
            name: Relative path without `..`.
            create: Whether to create missing folders.

        Raises:
            TransferError: If a folder on the way is a link or a file, or cannot be opened.
            UnwritableError: If a folder cannot be created.
        """
        *folders, last = name.split("/")
        descriptor = self._open_root(create=create)
        try:
            path = self.root
            for folder in folders:
                if descriptor is None:
                    break
                path /= folder
                child = _open_folder(folder, descriptor, path, create=create)
                os.close(descriptor)
                descriptor = child
            yield None if descriptor is None else Place(descriptor, last, path / last)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def remove_folder(self, name: str) -> None:
        """Removes a folder if it is empty, and not a link. The name "." is the root."""
        with contextlib.suppress(OSError, TransferError):
            if name == ".":
                self.root.rmdir()
                return
            with self.place(name) as place:
                if place is not None:
                    os.rmdir(place.name, dir_fd=place.folder)

    def _open_root(self, *, create: bool) -> int | None:
        if os.path.realpath(self.root) != str(self.root):
            raise TransferError(f"{self.root} has become a link since the images were sorted")
        if create:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UnwritableError(f"{self.root} cannot be created: {error.strerror}") from error
        return _open_folder(str(self.root), None, self.root, create=False)


def _open_folder(name: str, parent: int | None, path: Path, *, create: bool) -> int | None:
    if create:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=parent)
        except OSError as error:
            raise UnwritableError(f"{path} cannot be created: {error.strerror}") from error
    try:
        return os.open(name, _FOLDER_FLAGS, dir_fd=parent)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise TransferError(f"{path} is a link or a file, not a folder") from error
        raise TransferError(f"{path} cannot be opened: {error.strerror}") from error

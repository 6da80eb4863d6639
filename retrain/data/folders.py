"""Lists the image files in folders that have one sub-folder per class.

Only files without the name of an image are opened, to find images among them.
"""

import heapq
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from retrain.data import file_kinds
from retrain.data.file_kinds import FileKind, FileRecognizer
from retrain.data.listing import Listing
from retrain.errors import UserError

_Identity = tuple[int, int]  # Device and inode.


class _Entry(NamedTuple):
    """A folder or a link that has yet to be read. Entries sort in reading order.

    Attributes:
        is_link: Whether it is a symbolic link.
        class_name: Name of the class folder; empty for the root.
        inner: Path relative to the class folder: empty, or ending with a slash if it is a folder.
        path: Full path.
    """

    is_link: bool
    class_name: str
    inner: str
    path: str

    @property
    def name(self) -> str:
        """Path relative to the root."""
        return f"{self.class_name}/{self.inner}"

    def path_of(self, name: str) -> str:
        """Returns the path of an entry of this folder relative to the root."""
        return f"{self.name}{name}".lstrip("/")


class _Visited(NamedTuple):
    """Folders and links that were read so far, in all roots.

    Attributes:
        roots: Identities of all roots.
        folders: Identities of the folders that were read.
        linked_files: Real paths of files that were reached through links.
    """

    roots: set[_Identity]
    folders: set[_Identity]
    linked_files: set[str]


def list_images(roots: Mapping[str, Path]) -> dict[str, Listing]:
    """Lists the images in several root folders.

    Symbolic links are followed, but each folder and each linked file is listed only once, so that
    circular links end. An image that can be reached in several ways is listed where it is stored;
    if it can be reached from two roots, it is listed in the later one.

    Args:
        roots: Folder of each flag, by the name of the flag.

    Returns:
        The listing of each folder, by the name of the flag.

    Raises:
        UserError: If a root is missing or not a folder, two roots are the same folder, or a folder
            cannot be read.
    """
    visited = _Visited(roots=_identify_roots(roots), folders=set(), linked_files=set())
    later_first = {flag: _Reader(flag, roots[flag], visited).read() for flag in [*roots][::-1]}
    return {flag: later_first[flag] for flag in roots}


def _identify_roots(roots: Mapping[str, Path]) -> set[_Identity]:
    expected = "use a folder that has a sub-folder of images for each class"
    flags: dict[_Identity, str] = {}
    for flag, root in roots.items():
        try:
            identity = _identify(root)
        except OSError as error:
            raise UserError(
                f"--{flag}={root} cannot be read: {error.strerror}; {expected}"
            ) from error
        if not root.is_dir():
            raise UserError(f"--{flag}={root} is a file; {expected}")
        if identity in flags:
            raise UserError(
                f"--{flag}={root} is the same folder as --{flags[identity]}; use another folder"
            )
        flags[identity] = flag
    return set(flags)


class _Reader:
    """Reads one root."""

    def __init__(self, flag: str, root: Path, visited: _Visited) -> None:
        self._flag = flag
        self._root = root
        self._visited = visited
        self._folders: list[_Entry] = []  # A heap.
        self._file_links: list[_Entry] = []
        self._listing = Listing()
        self._recognizer = FileRecognizer()

    def read(self) -> Listing:
        root = _Entry(is_link=False, class_name="", inner="", path=os.fspath(self._root))
        self._read_folder(root)
        class_names = sorted(entry.class_name for entry in self._folders)
        self._listing.images = {name: [] for name in class_names}
        # Real folders come before links, so that a link cannot take images of another class.
        while self._folders:
            folder = heapq.heappop(self._folders)
            if self._is_new(folder):
                self._read_folder(folder)
        for link in sorted(self._file_links):
            self._follow(link)
        self._listing.finish()
        return self._listing

    def _is_new(self, folder: _Entry) -> bool:
        try:
            identity = _identify(folder.path)
        except OSError as error:
            raise self._unreadable(folder.path, error) from error
        if identity in self._visited.roots:
            return False
        if identity in self._visited.folders:
            self._listing.duplicate_links.append(folder.name.rstrip("/"))
            return False
        self._visited.folders.add(identity)
        return True

    def _read_folder(self, folder: _Entry) -> None:
        try:
            with os.scandir(folder.path) as entries:
                for entry in entries:
                    self._add(folder, entry)
        except OSError as error:
            raise self._unreadable(folder.path, error) from error

    def _add(self, folder: _Entry, entry: os.DirEntry[str]) -> None:
        if file_kinds.is_folder(entry):
            self._add_folder(folder, entry)
        elif entry.name.startswith("."):
            self._listing.ignored["hidden"] += 1
        else:
            self._add_file(folder, entry)

    def _add_folder(self, parent: _Entry, entry: os.DirEntry[str]) -> None:
        name = entry.name
        if file_kinds.is_system_folder(name):
            self._listing.system_folders.append(parent.path_of(name))
        elif name.startswith("."):
            self._listing.ignored["hidden folder"] += 1
        else:
            nested = (parent.class_name, f"{parent.inner}{name}/")
            in_class = nested if parent.class_name else (name, "")
            heapq.heappush(self._folders, _Entry(entry.is_symlink(), *in_class, entry.path))

    def _add_file(self, folder: _Entry, entry: os.DirEntry[str]) -> None:
        inner = folder.inner + entry.name
        kind = self._recognizer.recognize(entry)
        if kind is FileKind.MISNAMED:
            self._listing.misnamed.append(folder.path_of(entry.name))
        elif kind is FileKind.SPECIAL:
            description = file_kinds.describe_special_file(entry.path)
            self._listing.special_files.append(f"{folder.path_of(entry.name)} ({description})")
        elif kind is FileKind.OTHER:
            is_file = file_kinds.is_file(entry)
            self._listing.ignored[
                file_kinds.suffix_of(entry.name) if is_file else "broken link or device"
            ] += 1
        elif not folder.class_name:
            self._listing.outside_classes += 1
        elif entry.is_symlink():
            self._file_links.append(
                _Entry(is_link=True, class_name=folder.class_name, inner=inner, path=entry.path)
            )
        elif self._is_linked(entry):
            self._listing.duplicate_links.append(f"{folder.class_name}/{inner}")
        else:
            self._listing.images[folder.class_name].append(inner)

    def _follow(self, link: _Entry) -> None:
        target = os.path.realpath(link.path)
        if target in self._visited.linked_files or self._was_listed(Path(target)):
            self._listing.duplicate_links.append(link.name)
            return
        self._visited.linked_files.add(target)
        self._listing.images[link.class_name].append(link.inner)

    def _is_linked(self, entry: os.DirEntry[str]) -> bool:
        linked_files = self._visited.linked_files
        # Resolving a path is slow, and usually there are no links.
        return bool(linked_files) and os.path.realpath(entry.path) in linked_files

    def _was_listed(self, target: Path) -> bool:
        return (
            file_kinds.has_image_name(target.name)
            and not target.name.startswith(".")
            and _identify(target.parent) in self._visited.folders
        )

    def _unreadable(self, path: str, error: OSError) -> UserError:
        return UserError(
            f"--{self._flag}={self._root} cannot be read: {path}: {error.strerror}; "
            "change its permissions, or move it elsewhere"
        )


def _identify(path: str | Path) -> _Identity:
    status = os.stat(path)  # noqa: PTH116
    return status.st_dev, status.st_ino

"""Finds the image files in folders of classes; reads names only, never contents."""

import heapq
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from retrain.errors import UserError

EXTENSIONS = ("jpg", "jpeg", "png", "bmp", "gif", "webp", "heic", "heif", "avif")

_ENDINGS = tuple(f".{extension}" for extension in EXTENSIONS)

_Identity = tuple[int, int]


@dataclass(frozen=True)
class Listing:
    """What a folder of classes holds.

    Attributes:
        images: for each sub-folder with images, in the order of their names, the sorted paths
            of its images below it, with `/` between the parts of a path.
        empty: names of the sub-folders without images.
        loose: number of images that lie in the folder itself and so have no class.
        ignored: number of files that are not images, for each kind (".txt", "hidden").
        again: paths below the folder which are links to what was found elsewhere too.
    """

    images: dict[str, list[str]]
    empty: list[str]
    loose: int
    ignored: Counter[str]
    again: list[str]


class _Place(NamedTuple):
    """A folder or link to be read. They sort in the order in which to read them."""

    is_link: bool
    category: str  # Empty for what lies directly in the root.
    inner: str  # Path below the class's folder: empty, or with a slash at its end.
    path: str


class _Seen(NamedTuple):
    roots: set[_Identity]
    folders: set[_Identity]
    files: set[str]  # The files, outside all folders that were read, to which links led.


def list_images(roots: Mapping[str, Path]) -> dict[str, Listing]:
    """Returns what the folders `roots` hold, by the names of the flags that gave them.

    Links are followed; each real folder is read once, so circles end, and an image to which links
    lead is listed once: where it really is, if that is in the same root; in the later of two roots.

    Raises:
        UserError: a root is missing, no folder, or the same as another, or a folder is unreadable.
    """
    seen = _Seen(roots=_identities(roots), folders=set(), files=set())
    later_first = {flag: _Walk(flag, roots[flag], seen).run() for flag in reversed(list(roots))}
    return {flag: later_first[flag] for flag in roots}


def _identities(roots: Mapping[str, Path]) -> set[_Identity]:
    flags: dict[_Identity, str] = {}
    for flag, root in roots.items():
        try:
            identity = _identity(root)
        except OSError as error:
            raise UserError(
                f"--{flag}={root} cannot be read: {error.strerror}; "
                "give a folder that has a sub-folder of images for each class"
            ) from error
        if not root.is_dir():
            raise UserError(
                f"--{flag}={root} is a file; "
                "give a folder that has a sub-folder of images for each class"
            )
        if identity in flags:
            raise UserError(
                f"--{flag}={root} is the same folder as --{flags[identity]}; give another one"
            )
        flags[identity] = flag
    return set(flags)


class _Walk:
    """One pass through a root."""

    def __init__(self, flag: str, root: Path, seen: _Seen) -> None:
        self._flag = flag
        self._root = root
        self._seen = seen
        self._folders: list[_Place] = []
        self._file_links: list[_Place] = []
        self._images: dict[str, list[str]] = {}
        self._loose = 0
        self._ignored: Counter[str] = Counter()
        self._again: list[str] = []

    def run(self) -> Listing:
        self._read(_Place(False, "", "", os.fspath(self._root)))
        self._images = {name: [] for name in sorted(place.category for place in self._folders)}
        # The heap has real folders before links, or a link could take another class's images.
        while self._folders:
            folder = heapq.heappop(self._folders)
            if self._is_new(folder):
                self._read(folder)
        for link in sorted(self._file_links):
            self._follow(link)
        return Listing(
            images={name: sorted(files) for name, files in self._images.items() if files},
            empty=[n for n, files in self._images.items() if not files and n not in self._again],
            loose=self._loose,
            ignored=self._ignored,
            again=sorted(self._again),
        )

    def _is_new(self, folder: _Place) -> bool:
        try:
            identity = _identity(folder.path)
        except OSError as error:
            raise self._unreadable(folder.path, error) from error
        if identity in self._seen.roots:
            return False
        if identity in self._seen.folders:
            self._again.append(_name(folder).rstrip("/"))
            return False
        self._seen.folders.add(identity)
        return True

    def _read(self, folder: _Place) -> None:
        try:
            with os.scandir(folder.path) as entries:
                for entry in entries:
                    self._add(folder, entry)
        except OSError as error:
            raise self._unreadable(folder.path, error) from error

    def _add(self, folder: _Place, entry: os.DirEntry[str]) -> None:
        name = entry.name
        if name.startswith("."):
            self._ignored["hidden folder" if _is_folder(entry) else "hidden"] += 1
        elif _is_folder(entry):
            category = folder.category or name
            inner = f"{folder.inner}{name}/" if folder.category else ""
            place = _Place(entry.is_symlink(), category, inner, entry.path)
            heapq.heappush(self._folders, place)
        elif not _is_file(entry):
            self._ignored["broken link or device"] += 1
        elif not name.lower().endswith(_ENDINGS):
            self._ignored[_kind(name)] += 1
        elif not folder.category:
            self._loose += 1
        elif entry.is_symlink():
            inner = folder.inner + name
            self._file_links.append(_Place(True, folder.category, inner, entry.path))
        elif self._seen.files and os.path.realpath(entry.path) in self._seen.files:
            self._again.append(f"{folder.category}/{folder.inner}{name}")
        else:
            self._images[folder.category].append(folder.inner + name)

    def _follow(self, link: _Place) -> None:
        target = os.path.realpath(link.path)
        if target in self._seen.files or self._was_listed(Path(target)):
            self._again.append(_name(link))
            return
        self._seen.files.add(target)
        self._images[link.category].append(link.inner)

    def _was_listed(self, target: Path) -> bool:
        return (
            target.name.lower().endswith(_ENDINGS)
            and not target.name.startswith(".")
            and _identity(target.parent) in self._seen.folders
        )

    def _unreadable(self, path: str, error: OSError) -> UserError:
        return UserError(
            f"--{self._flag}={self._root} cannot be read: {path}: {error.strerror}; "
            "make it readable for you, or move it elsewhere"
        )


def _identity(path: str | Path) -> _Identity:
    status = os.stat(path)  # noqa: PTH116
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself, or to where the user may not look.
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _kind(name: str) -> str:
    return Path(name).suffix.lower() or "without an extension"


def _name(place: _Place) -> str:
    return f"{place.category}/{place.inner}"

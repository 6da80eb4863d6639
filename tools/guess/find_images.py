"""Finds the images in a folder that nobody has sorted yet; reads names only, never contents."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from retrain.data.folders import EXTENSIONS
from retrain.errors import UserError
from retrain.system.text import name_some

_ENDINGS = tuple(f".{extension}" for extension in EXTENSIONS)
_NAMED_AT_MOST = 5


@dataclass
class Names:
    """The first few names of some files, and how many there are.

    Attributes:
        first: those that are named.
        count: of all.
    """

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, name: str) -> None:
        """Counts one more."""
        self.count += 1
        if len(self.first) < _NAMED_AT_MOST:
            self.first.append(name)

    def __str__(self) -> str:
        return name_some(self.first, most=_NAMED_AT_MOST, count=self.count)


@dataclass
class LeftOut:
    """What is not taken for an image; paths are relative to the folder.

    Attributes:
        hidden: files and folders whose names begin with a dot.
        others: how many files of each kind are no images by their names (".txt").
        folder_links: links to folders, which may lead anywhere.
        unreadable: folders that cannot be listed, each with the reason.
    """

    hidden: Names = field(default_factory=Names)
    others: Counter[str] = field(default_factory=Counter)
    folder_links: Names = field(default_factory=Names)
    unreadable: Names = field(default_factory=Names)

    def kinds(self) -> str:
        """Returns the commonest kinds of files that are no images, each with its number."""
        return ", ".join(
            f"{count:,} {kind}" for kind, count in self.others.most_common(_NAMED_AT_MOST)
        )


def all_in(folder: Path, recursive: bool, passed_over: Path) -> Iterator[str]:
    """Yields the images as `find` does, and then tells the user what was left out.

    Raises:
        UserError: there is none, or the folder cannot be listed.
    """
    left_out = LeftOut()
    found = find(folder, recursive, passed_over, left_out)
    first = next(found, None)
    if first is None:
        only = f", only {left_out.kinds()}" if left_out.others else ""
        advice = "" if recursive else ", or look into the folders in it with --recursive"
        raise UserError(
            f"{folder} has no images ({', '.join(EXTENSIONS)}){only}; name a folder that has"
            f"{advice}"
        )
    return _telling(chain([first], found), left_out)


def _telling(images: Iterable[str], left_out: LeftOut) -> Iterator[str]:
    yield from images
    if left_out.hidden.count:
        logging.info("Left out what is hidden: %s", left_out.hidden)
    if left_out.others:
        logging.info("Left out what is no image by its name: %s", left_out.kinds())
    if left_out.folder_links.count:
        logging.warning("Left out links to folders: %s", left_out.folder_links)
    if left_out.unreadable.count:
        logging.warning("Left out folders that cannot be read: %s", left_out.unreadable)


def find(folder: Path, recursive: bool, passed_over: Path, left_out: LeftOut) -> Iterator[str]:
    """Yields the paths of the images, relative to `folder`, a folder's files before its folders'.

    Args:
        folder: to look in.
        recursive: whether to look in the folders in it, too.
        passed_over: a folder that is not looked into, should it be in there.
        left_out: gets all that is not yielded.

    Raises:
        UserError: the folder cannot be listed.
    """
    try:
        entries = _sorted_entries(folder)
    except OSError as error:
        raise UserError(
            f"the folder {folder} cannot be read: {error.strerror}; name one with images"
        ) from error
    yield from _images(entries, "", left_out)
    waiting = _folders(entries, "") if recursive else []
    while waiting:
        inner = waiting.pop()
        path = folder / inner
        try:
            if passed_over.exists() and path.samefile(passed_over):
                continue
            entries = _sorted_entries(path)
        except OSError as error:
            left_out.unreadable.add(f"{inner} ({error.strerror})")
            continue
        yield from _images(entries, f"{inner}/", left_out)
        waiting += _folders(entries, f"{inner}/")


def _sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _images(entries: list[os.DirEntry[str]], inside: str, left_out: LeftOut) -> Iterator[str]:
    for entry in entries:
        name = inside + entry.name
        if entry.name.startswith("."):
            left_out.hidden.add(name)
        elif entry.is_dir(follow_symlinks=False):
            continue
        elif _leads_to_folder(entry):
            left_out.folder_links.add(name)
        elif entry.name.lower().endswith(_ENDINGS):
            yield name
        else:
            left_out.others[Path(name).suffix.lower() or "without an extension"] += 1


def _folders(entries: list[os.DirEntry[str]], inside: str) -> list[str]:
    """Returns the folders, the last one first, as they are taken from the end."""
    return [
        inside + entry.name
        for entry in reversed(entries)
        if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
    ]


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself; reading it will say so.
        return False

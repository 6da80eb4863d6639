"""Finds images by their file names. Does not open them."""

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

_SUFFIXES = tuple(f".{extension}" for extension in EXTENSIONS)
_MAX_LISTED = 5


@dataclass
class NameList:
    """The number of names, and the first few of them.

    Attributes:
        first: The first names.
        count: Number of all names.
    """

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, name: str) -> None:
        """Adds a name."""
        self.count += 1
        if len(self.first) < _MAX_LISTED:
            self.first.append(name)

    def __str__(self) -> str:
        return name_some(self.first, most=_MAX_LISTED, count=self.count)


@dataclass
class SkippedFiles:
    """What a search skipped. Paths are relative to the folder that was searched.

    Attributes:
        hidden: Files and folders with names that begin with a dot.
        other_suffixes: Number of other files by their suffix, such as ".txt".
        folder_links: Symbolic links to folders, which could lead anywhere.
        unreadable: Folders that cannot be listed, with the reason.
    """

    hidden: NameList = field(default_factory=NameList)
    other_suffixes: Counter[str] = field(default_factory=Counter)
    folder_links: NameList = field(default_factory=NameList)
    unreadable: NameList = field(default_factory=NameList)

    def most_common_suffixes(self) -> str:
        """Returns the most common suffixes of other files, with their numbers."""
        common = self.other_suffixes.most_common(_MAX_LISTED)
        return ", ".join(f"{count:,} {suffix}" for suffix, count in common)


def find_images(folder: Path, *, recursive: bool, exclude: Path) -> Iterator[str]:
    """Returns the images like `iter_images`. Logs what was skipped after the last one.

    Raises:
        UserError: If the folder cannot be listed or contains no images.
    """
    skipped = SkippedFiles()
    images = iter_images(folder, recursive=recursive, exclude=exclude, skipped=skipped)
    first = next(images, None)
    if first is None:
        only = f", only {skipped.most_common_suffixes()}" if skipped.other_suffixes else ""
        advice = "" if recursive else ", or add --recursive to search its subfolders"
        raise UserError(
            f"{folder} contains no images ({', '.join(EXTENSIONS)}){only}; "
            f"choose a folder with images{advice}"
        )
    return _log_skipped_after(chain([first], images), skipped)


def _log_skipped_after(images: Iterable[str], skipped: SkippedFiles) -> Iterator[str]:
    yield from images
    if skipped.hidden.count:
        logging.info("Skipped hidden files and folders: %s", skipped.hidden)
    if skipped.other_suffixes:
        logging.info("Skipped files that are not images: %s", skipped.most_common_suffixes())
    if skipped.folder_links.count:
        logging.warning("Skipped links to folders: %s", skipped.folder_links)
    if skipped.unreadable.count:
        logging.warning("Skipped unreadable folders: %s", skipped.unreadable)


def iter_images(
    folder: Path, *, recursive: bool, exclude: Path, skipped: SkippedFiles
) -> Iterator[str]:
    """Yields the paths of images relative to `folder`, sorted, and files before subfolders.

    Args:
        folder: Folder to search.
        recursive: Whether to search its subfolders, too.
        exclude: Folder to exclude from the search. It does not have to exist.
        skipped: Receives what the search skips.

    Raises:
        UserError: If `folder` cannot be listed.
    """
    try:
        entries = _sorted_entries(folder)
    except OSError as error:
        raise UserError(
            f"the folder {folder} cannot be read: {error.strerror}; choose a folder with images"
        ) from error
    yield from _images(entries, "", skipped)
    remaining = _subfolders(entries, "") if recursive else []
    while remaining:
        subfolder = remaining.pop()
        path = folder / subfolder
        try:
            if exclude.exists() and path.samefile(exclude):
                continue
            entries = _sorted_entries(path)
        except OSError as error:
            skipped.unreadable.add(f"{subfolder} ({error.strerror})")
            continue
        yield from _images(entries, f"{subfolder}/", skipped)
        remaining += _subfolders(entries, f"{subfolder}/")


def _sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _images(entries: list[os.DirEntry[str]], prefix: str, skipped: SkippedFiles) -> Iterator[str]:
    for entry in entries:
        name = prefix + entry.name
        if entry.name.startswith("."):
            skipped.hidden.add(name)
        elif entry.is_dir(follow_symlinks=False):
            continue
        elif _links_to_folder(entry):
            skipped.folder_links.add(name)
        elif entry.name.lower().endswith(_SUFFIXES):
            yield name
        else:
            skipped.other_suffixes[Path(name).suffix.lower() or "without an extension"] += 1


def _subfolders(entries: list[os.DirEntry[str]], prefix: str) -> list[str]:
    """Returns the subfolders in reverse order, because the caller takes them from the end."""
    return [
        prefix + entry.name
        for entry in reversed(entries)
        if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
    ]


def _links_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself. Reading it later produces a better message.
        return False

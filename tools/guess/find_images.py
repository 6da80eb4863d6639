"""Finds images by their file names. Opens only files with other names, to recognize images."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from retrain.data import file_kinds
from retrain.data.file_kinds import EXTENSIONS, FileKind, FileRecognizer
from retrain.errors import UserError
from retrain.system.text import name_some

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
        misnamed: Files that start like images but have other names.
        special_files: Pipes, sockets, devices and broken links with the name of an image, with
            their kind.
        other_suffixes: Number of other files by their suffix, such as ".txt".
        system_folders: Folders that NAS devices or operating systems create. Empty unless the
            search is recursive.
        folder_links: Symbolic links to folders, which could lead anywhere.
        unreadable: Folders that cannot be listed, with the reason.
    """

    hidden: NameList = field(default_factory=NameList)
    misnamed: NameList = field(default_factory=NameList)
    special_files: NameList = field(default_factory=NameList)
    other_suffixes: Counter[str] = field(default_factory=Counter)
    system_folders: NameList = field(default_factory=NameList)
    folder_links: NameList = field(default_factory=NameList)
    unreadable: NameList = field(default_factory=NameList)

    def most_common_suffixes(self) -> str:
        """Returns the most common suffixes of other files, with their numbers."""
        common = self.other_suffixes.most_common(_MAX_LISTED)
        return ", ".join(f"{count:,} {suffix}" for suffix, count in common)

    def describe_misnamed(self) -> str:
        """Returns a message about the files that start like images but have other names."""
        return file_kinds.describe_misnamed(self.misnamed.first, self.misnamed.count)

    def explain_missing_images(self) -> str:
        """Returns the end of an error message: why no images were found, if there are reasons."""
        reasons = []
        if self.misnamed.count:
            reasons.append(self.describe_misnamed())
        if self.special_files.count:
            reasons.append(
                f"skipped pipes, sockets, devices and broken links: {self.special_files}"
            )
        if self.system_folders.count:
            reasons.append(f"skipped folders of NAS devices or systems: {self.system_folders}")
        return "".join(f"; {reason}" for reason in reasons)


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
            f"choose a folder with images{advice}{skipped.explain_missing_images()}"
        )
    return _log_skipped_after(chain([first], images), skipped)


def _log_skipped_after(images: Iterable[str], skipped: SkippedFiles) -> Iterator[str]:
    yield from images
    if skipped.hidden.count:
        logging.info("Skipped hidden files and folders: %s", skipped.hidden)
    if skipped.other_suffixes:
        logging.info("Skipped files that are not images: %s", skipped.most_common_suffixes())
    if skipped.misnamed.count:
        logging.warning("Skipped: %s", skipped.describe_misnamed())
    if skipped.special_files.count:
        logging.warning(
            "Skipped pipes, sockets, devices and broken links: %s", skipped.special_files
        )
    if skipped.system_folders.count:
        logging.info(
            "Skipped folders of NAS devices or operating systems: %s", skipped.system_folders
        )
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
    recognizer = FileRecognizer()
    yield from _images(entries, "", skipped, recognizer)
    remaining = _subfolders(entries, "", skipped) if recursive else []
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
        yield from _images(entries, f"{subfolder}/", skipped, recognizer)
        remaining += _subfolders(entries, f"{subfolder}/", skipped)


def _sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _images(
    entries: list[os.DirEntry[str]],
    prefix: str,
    skipped: SkippedFiles,
    recognizer: FileRecognizer,
) -> Iterator[str]:
    for entry in entries:
        name = prefix + entry.name
        if entry.is_dir(follow_symlinks=False) and not _is_hidden_by_user(entry):
            continue
        if entry.name.startswith("."):
            skipped.hidden.add(name)
        elif _links_to_folder(entry):
            skipped.folder_links.add(name)
        else:
            kind = recognizer.recognize(entry)
            if kind is FileKind.IMAGE:
                yield name
            elif kind is FileKind.MISNAMED:
                skipped.misnamed.add(name)
            elif kind is FileKind.SPECIAL:
                description = file_kinds.describe_special_file(entry.path)
                skipped.special_files.add(f"{name} ({description})")
            else:
                skipped.other_suffixes[file_kinds.suffix_of(name)] += 1


def _subfolders(entries: list[os.DirEntry[str]], prefix: str, skipped: SkippedFiles) -> list[str]:
    """Returns the subfolders in reverse order, because the caller takes them from the end."""
    subfolders = []
    for entry in reversed(entries):
        name = prefix + entry.name
        if not entry.is_dir(follow_symlinks=False):
            continue
        if file_kinds.is_system_folder(entry.name):
            skipped.system_folders.add(name)
        elif not entry.name.startswith("."):
            subfolders.append(name)
    return subfolders


def _is_hidden_by_user(entry: os.DirEntry[str]) -> bool:
    return entry.name.startswith(".") and not file_kinds.is_system_folder(entry.name)


def _links_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself.
        return False

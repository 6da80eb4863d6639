"""Finds images by their file names. Opens only files with other names, to recognize images."""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from pathlib import Path

from retrain.data import file_kinds
from retrain.data.file_kinds import EXTENSIONS, FileKind, FileRecognizer
from retrain.errors import UserError
from retrain.system.text import name_some

_MAX_LISTED = 5


class Skipped(Enum):
    """Why a search skips a file or folder: how important that is, and what they are called."""

    HIDDEN = logging.INFO, "hidden files and folders"
    # Files that start like images.
    MISNAMED = logging.WARNING, "files that look like images but have other names"
    SPECIAL = logging.WARNING, "pipes, sockets, devices and broken links"
    SYSTEM_FOLDER = logging.INFO, "folders of NAS devices or operating systems"
    # These could lead anywhere.
    FOLDER_LINK = logging.WARNING, "links to folders"
    UNREADABLE = logging.WARNING, "unreadable folders"


@dataclass
class NameList:
    """The first few of many names.

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


class SkippedFiles:
    """What a search skipped.

    Attributes:
        names: Paths relative to the folder that was searched, for each reason that occurred. Those
            of special files and unreadable folders have an explanation after them.
        other_suffixes: Number of other files by their suffix, such as ".txt".
    """

    def __init__(self) -> None:
        self.names: defaultdict[Skipped, NameList] = defaultdict(NameList)
        self.other_suffixes: Counter[str] = Counter()

    def describe(self, reason: Skipped) -> str:
        """Returns a message that names the files or folders."""
        names = self.names[reason]
        if reason is Skipped.MISNAMED:
            return f"skipped: {file_kinds.describe_misnamed(names.first, names.count)}"
        listed = name_some(names.first, most=_MAX_LISTED, count=names.count)
        return f"skipped {reason.value[1]}: {listed}"

    def count_suffixes(self) -> str:
        """Returns the most common suffixes of other files, with their numbers."""
        common = self.other_suffixes.most_common(_MAX_LISTED)
        return ", ".join(f"{count:,} {suffix}" for suffix, count in common)

    def log(self) -> None:
        """Logs everything that was skipped."""
        if self.other_suffixes:
            logging.info("Skipped files that are not images: %s", self.count_suffixes())
        for reason in Skipped:
            if reason in self.names:
                logging.log(reason.value[0], "S%s", self.describe(reason)[1:])


def find_images(folder: Path, *, recursive: bool, exclude: Path) -> Iterator[str]:
    """Returns the images like `iter_images`. Logs what was skipped after the last one.

    Raises:
        UserError: If `folder` has no images, or cannot be listed.
    """
    skipped = SkippedFiles()
    images = iter_images(folder, recursive=recursive, exclude=exclude, skipped=skipped)
    first = next(images, None)
    if first is None:
        only = f", only {skipped.count_suffixes()}" if skipped.other_suffixes else ""
        advice = "" if recursive else ", or add --recursive to search its subfolders"
        reasons = (Skipped.MISNAMED, Skipped.SPECIAL, Skipped.SYSTEM_FOLDER)
        explanations = [f"; {skipped.describe(each)}" for each in reasons if each in skipped.names]
        raise UserError(
            f"{folder} contains no images ({', '.join(EXTENSIONS)}){only}; "
            f"choose a folder with images{advice}{''.join(explanations)}"
        )
    return _then_log(chain([first], images), skipped)


def _then_log(images: Iterator[str], skipped: SkippedFiles) -> Iterator[str]:
    yield from images
    skipped.log()


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
    recognizer = FileRecognizer()
    pending = [""]  # Prefixes of the paths in each folder, the next folder last.
    while pending:
        prefix = pending.pop()
        path = folder / prefix
        try:
            if prefix and exclude.exists() and path.samefile(exclude):
                continue
            with os.scandir(path) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            if not prefix:
                raise UserError(
                    f"the folder {folder} cannot be read: {error.strerror}; choose a folder with "
                    "images"
                ) from error
            skipped.names[Skipped.UNREADABLE].add(f"{prefix[:-1]} ({error.strerror})")
            continue
        subfolders = []
        for entry in entries:
            name = prefix + entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and file_kinds.is_system_folder(entry.name):
                if recursive:
                    skipped.names[Skipped.SYSTEM_FOLDER].add(name)
            elif entry.name.startswith("."):
                skipped.names[Skipped.HIDDEN].add(name)
            elif is_folder:
                subfolders.append(f"{name}/")
            elif file_kinds.is_folder(entry):
                skipped.names[Skipped.FOLDER_LINK].add(name)
            elif (kind := recognizer.recognize(entry)) is FileKind.IMAGE:
                yield name
            elif kind is FileKind.MISNAMED:
                skipped.names[Skipped.MISNAMED].add(name)
            elif kind is FileKind.SPECIAL:
                description = file_kinds.describe_special_file(entry.path)
                skipped.names[Skipped.SPECIAL].add(f"{name} ({description})")
            else:
                skipped.other_suffixes[file_kinds.suffix_of(entry.name)] += 1
        if recursive:
            pending += reversed(subfolders)

"""Makes file names from labels, and finds names that no file has yet."""

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from retrain.system.text import JOINERS

# Characters and names that Windows, macOS or Linux do not allow or treat specially:
# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_FORBIDDEN = re.compile(r'[/\\:*?"<>|]+')
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(?=\.|\Z)", re.I)

# Leaves room for a score, a number and an extension.
_MAX_LABEL_BYTES = 120
_MAX_NAME_BYTES = 255


def safe_name(label: str) -> str:
    """Returns a file name for a label, of at most 120 bytes in UTF-8.

    The name does not lead to another folder and has no character, start, end or length that causes
    problems in a file system or on a command line. Letters of all scripts are kept.
    """
    printable = "".join(
        c if c.isprintable() or c in JOINERS else " " if c.isspace() else "_"
        for c in unicodedata.normalize("NFC", label)
    )
    name = _FORBIDDEN.sub("_", " ".join(printable.split()))
    name = _truncate(name.lstrip(" .-~"), _MAX_LABEL_BYTES).rstrip(" .")
    return _DEVICES.sub(r"\1_", name, count=1) if _DEVICES.match(name) else name or "unnamed"


def distinct_safe_names(labels: Iterable[str], *, reserved: Iterable[str] = ()) -> dict[str, str]:
    """Returns the `safe_name` of each label. Names that are equal, ignoring case, get a number.

    Args:
        labels: Labels.
        reserved: Names that no label can get.
    """
    taken = {_fold(name) for name in reserved}
    names = {}
    for label in labels:
        wanted, number = safe_name(label), 1
        name = wanted
        while _fold(name) in taken:
            number += 1
            name = f"{wanted}-{number}"
        taken.add(_fold(name))
        names[label] = name
    return names


class UnusedNames:
    """Reserves names that no file in a folder has yet."""

    def __init__(self, folder: Path) -> None:
        """Starts with no reserved names. `folder` does not have to exist."""
        self._folder = folder
        self._reserved: set[str] = set()
        # The last number that was added to each wanted name.
        self._last_numbers: dict[str, int] = {}

    def reserve(self, wanted: str) -> str:
        """Returns `wanted`, a path relative to the folder, with a number if it is taken.

        The number goes before the extension: `a.jpg`, `a-2.jpg`, `a-3.jpg`.
        """
        subfolder, name = os.path.split(wanted)
        stem, extension = os.path.splitext(name)  # noqa: PTH122 (as os.path.split)
        number = self._last_numbers.get(wanted, 1)
        while True:
            end = extension if number == 1 else f"-{number}{extension}"
            start = _truncate(stem, _MAX_NAME_BYTES - len(os.fsencode(end)))
            candidate = os.path.join(subfolder, start + end)  # noqa: PTH118
            if not self._is_taken(candidate):
                break
            number += 1
        if number > 1:
            self._last_numbers[wanted] = number
        self._reserved.add(_fold(candidate))
        return candidate

    def release_all(self) -> None:
        """Forgets the reserved names, when their files exist or will never be created."""
        self._reserved.clear()

    def _is_taken(self, name: str) -> bool:
        return _fold(name) in self._reserved or os.path.lexists(self._folder / name)


def _truncate(text: str, max_bytes: int) -> str:
    """Returns the longest start of `text` that has at most `max_bytes` bytes as a file name."""
    while len(os.fsencode(text)) > max_bytes:
        text = text[:-1]
    return text


def _fold(name: str) -> str:
    """Returns the same text for names that a case-insensitive file system treats as equal."""
    return unicodedata.normalize("NFC", name).casefold()

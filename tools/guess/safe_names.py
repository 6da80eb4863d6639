"""Names of files for classes, whatever these are called, and names that are still free."""

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

# What file systems of Windows, macOS or Linux do not take, or programs take for something else:
# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_FORBIDDEN = re.compile(r'[/\\:*?"<>|]+')
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(?=\.|\Z)", re.I)
# They shape letters of some scripts, and emoji.
_JOINERS = "\u200c\u200d"

# With a score, a number and an extension it stays below the 255 bytes that a name may have.
_CATEGORY_BYTES = 120
_NAME_BYTES = 255


def safe(label: str) -> str:
    """Returns a name for the files of a class, of at most 120 bytes in UTF-8.

    It has no part that would lead elsewhere, and no character, beginning, end or length that a
    file system or a command line would stumble over. Letters of all scripts stay.
    """
    printable = "".join(
        c if c.isprintable() or c in _JOINERS else " " if c.isspace() else "_"
        for c in unicodedata.normalize("NFC", label)
    )
    name = _FORBIDDEN.sub("_", " ".join(printable.split()))
    name = _cut(name.lstrip(" .-~"), _CATEGORY_BYTES).rstrip(" .")
    return _DEVICES.sub(r"\1_", name, count=1) if _DEVICES.match(name) else name or "unnamed"


def safe_and_distinct(labels: Iterable[str], reserved: Iterable[str] = ()) -> dict[str, str]:
    """Returns a name for each label, as `safe`, no two the same even where case does not count.

    Args:
        labels: of the classes.
        reserved: names that none may get.
    """
    taken = {_folded(name) for name in reserved}
    names = {}
    for label in labels:
        wanted, number = safe(label), 1
        name = wanted
        while _folded(name) in taken:
            number += 1
            name = f"{wanted}-{number}"
        taken.add(_folded(name))
        names[label] = name
    return names


class FreeNames:
    """Gives names that no file has yet, to be used for files a little later."""

    def __init__(self, folder: Path) -> None:
        """Watches over `folder` and the folders in it; it need not exist."""
        self._folder = folder
        self._given: set[str] = set()
        # Of names that were wanted again: which number came last.
        self._last: dict[str, int] = {}

    def take(self, wanted: str) -> str:
        """Returns `wanted`, a path relative to the folder, or where that is taken, with a number.

        The number goes in front of the extension: `a.jpg`, `a-2.jpg`, `a-3.jpg`.
        """
        inside, name = os.path.split(wanted)
        stem, extension = os.path.splitext(name)  # noqa: PTH122 (as os.path.split)
        number = self._last.get(wanted, 1)
        while True:
            ending = extension if number == 1 else f"-{number}{extension}"
            kept = _cut(stem, _NAME_BYTES - len(os.fsencode(ending)))
            candidate = os.path.join(inside, kept + ending)  # noqa: PTH118
            if not self._is_taken(candidate):
                break
            number += 1
        if number > 1:
            self._last[wanted] = number
        self._given.add(_folded(candidate))
        return candidate

    def forget_given(self) -> None:
        """Says that the names given until now are used, or never will be."""
        self._given.clear()

    def _is_taken(self, name: str) -> bool:
        return _folded(name) in self._given or os.path.lexists(self._folder / name)


def _cut(text: str, limit: int) -> str:
    """Returns the beginning of `text` that has at most `limit` bytes as a name of a file."""
    while len(os.fsencode(text)) > limit:
        text = text[:-1]
    return text


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()

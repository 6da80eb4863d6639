"""Checks the names of images in journals and results, which another person could have written."""

import os
from pathlib import PurePosixPath

from retrain.data.file_kinds import EXTENSIONS

_MAX_BYTES = 4096


class InvalidNameError(ValueError):
    """A name does not lead to an image in the folder. The message says so."""


def check_name(name: object) -> str:
    """Returns a name if it can be that of an image, relative to a folder.

    The name stays in the folder, and it has no hidden part, because guess_dir skips these.

    Raises:
        InvalidNameError: If it is something else.
    """
    if isinstance(name, str) and _is_inside(name) and _suffix(name)[1:].lower() in EXTENSIONS:
        return name
    raise InvalidNameError(f"{_shorten(name)} is not the name of an image in a folder")


def check_names(image: object, target: object) -> tuple[str, str]:
    """Returns the old and the new name of an image, which have the same suffix.

    Raises:
        InvalidNameError: If they are something else.
    """
    names = check_name(image), check_name(target)
    if _suffix(names[0]) != _suffix(names[1]):
        raise InvalidNameError(f"{_shorten(target)} is not a new name of {_shorten(image)}")
    return names


def check_folder(name: object) -> str:
    """Returns a name if it can be that of a folder that guess_dir creates.

    It is relative to the target folder, and "." for the target folder itself.

    Raises:
        InvalidNameError: If it is something else.
    """
    if isinstance(name, str) and (name == "." or _is_inside(name)):
        return name
    raise InvalidNameError(f"{_shorten(name)} is not the name of a folder in a folder")


def _is_inside(name: str) -> bool:
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:  # Half of a surrogate pair.
        return False
    parts = name.split("/")
    return (
        len(encoded) <= _MAX_BYTES
        and b"\0" not in encoded
        and not any(not part or part.startswith(".") for part in parts)
    )


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix


def _shorten(name: object) -> str:
    return ascii(name)[:100]

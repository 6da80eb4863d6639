"""Resolves flags that are paths."""

from pathlib import Path

from absl import flags

from retrain.errors import UserError
from retrain.system.files.path_owners import find_intruder
from retrain.system.files.user_paths import user_path


def optional_path(flag: flags.FlagHolder[str | None]) -> Path | None:
    """Returns the path that the user typed, or None if the flag is missing or empty."""
    return user_path(flag.value) if flag.value else None


def required_path(flag: flags.FlagHolder[str] | flags.FlagHolder[str | None]) -> Path:
    """Returns the path that the user typed, or the default.

    Raises:
        UserError: If it is empty. It would otherwise mean the current folder.
    """
    if not flag.value:
        raise UserError(f"--{flag.name}= has no value; name a file or folder")
    return user_path(flag.value)


def graph_path(flag: flags.FlagHolder[str]) -> Path:
    """Returns the path of the classifier to use.

    The default is in /tmp, where every user can put a file. A path that the user names can be that
    of a classifier of another user.

    Raises:
        UserError: If the flag is empty, or if the user did not set it and another user put the
            default file there.
    """
    path = required_path(flag)
    if not flag.present and (reason := find_intruder(path)):
        raise UserError(
            f"--{flag.name}={path}, the default, is not safe: {reason}; name the classifier to use"
        )
    return path

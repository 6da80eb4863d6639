"""Resolves paths that the user typed."""

import os
from pathlib import Path

from retrain.errors import UserError


def user_path(path: str | os.PathLike[str]) -> Path:
    """Returns `path` as an absolute path, relative to the folder where the user typed the command.

    `bazel run` starts programs in another folder, and sets a variable to the user's folder:
    https://bazel.build/docs/user-manual#running-executables

    Raises:
        UserError: If the path is relative, and the current folder has been deleted.
    """
    expanded = os.path.expanduser(path)  # noqa: PTH111 (Path's raises if ~name is a file's name)
    typed = Path(expanded)
    if not typed.is_absolute():
        typed = _current_folder() / typed
    normal = Path(os.path.normpath(typed))
    if ".." not in typed.parts or os.path.realpath(normal) == os.path.realpath(typed):
        return normal
    # After a link to a folder, .. is the folder above the one that the link leads to.
    if typed.name == "..":
        return Path(os.path.realpath(typed))
    return Path(os.path.realpath(typed.parent), typed.name)


def _current_folder() -> Path:
    try:
        return Path(os.environ.get("BUILD_WORKING_DIRECTORY") or Path.cwd())
    except FileNotFoundError as error:
        raise UserError(
            "the current folder has been deleted; change to another folder with cd, or use "
            "absolute paths"
        ) from error

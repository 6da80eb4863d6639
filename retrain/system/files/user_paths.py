"""Resolves paths that the user typed."""

import os
from pathlib import Path


def user_path(path: str | os.PathLike[str]) -> Path:
    """Returns `path` as an absolute path, relative to the folder where the user typed the command.

    `bazel run` starts programs in another folder, and sets a variable to the user's folder:
    https://bazel.build/docs/user-manual#running-executables
    """
    folder = os.environ.get("BUILD_WORKING_DIRECTORY") or Path.cwd()
    expanded = os.path.expanduser(path)  # noqa: PTH111 (Path's raises if ~name is a file's name)
    return Path(os.path.normpath(Path(folder, expanded)))

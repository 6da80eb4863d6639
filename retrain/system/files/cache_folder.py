"""Chooses and checks folders for caches, which no other user can fill with files of their own."""

import contextlib
import logging
import os
import stat
import tempfile
from pathlib import Path

from retrain.errors import UserError
from retrain.system.files.path_owners import (
    current_user,
    find_intruder,
    is_trusted,
    is_writable_by_group,
    user_name,
)

_NAME = "retrain"
# The default of earlier versions. It is used as long as only this user can write to it.
_OLD_CACHE = Path("/tmp/bottleneck")


def default_cache_folder() -> Path:
    """Returns the folder for caches if the user does not choose one. Does not create it."""
    folder = user_folder("XDG_CACHE_HOME", ".cache")
    if not folder.exists() and _is_old_cache_usable():
        logging.info(
            "Using the cache of earlier versions, %s; to keep it, move it to %s.",
            _OLD_CACHE,
            folder,
        )
        return _OLD_CACHE
    return folder


def user_folder(variable: str, subfolder: str) -> Path:
    """Returns this program's folder in one of the user's folders. Does not create it.

    See https://specifications.freedesktop.org/basedir-spec/latest. A user without a home folder,
    or with one that cannot be written, gets a folder next to temporary files.

    Args:
        variable: Environment variable with the user's folder.
        subfolder: Path of the user's folder in the home folder, if the variable is not set.
    """
    parent = os.environ.get(variable, "")
    # According to the specification, relative paths are invalid and must be ignored.
    if Path(parent).is_absolute():
        return Path(os.path.normpath(parent), _NAME)
    home = os.path.expanduser("~")  # noqa: PTH111 (Path's raises if there is no home folder)
    if Path(home).is_absolute() and Path(home).is_dir() and _can_create(Path(home, subfolder)):
        return Path(os.path.normpath(home), subfolder, _NAME)
    folder = Path(tempfile.gettempdir(), f"{_NAME}-{current_user()}", subfolder, _NAME)
    logging.info("Using %s, because there is no home folder that only you can write to.", folder)
    return folder


def check_cache_folder(folder: Path, setting: str, *, is_default: bool = False) -> None:
    """Checks that no other user can put files into a cache. Leaves nothing behind.

    A folder that the user names can belong to another member of a group, and can be written by the
    group. The members can then change what the others' runs read.

    Args:
        folder: Path of the folder. It does not have to exist.
        setting: Flag or environment variable that names the folder.
        is_default: Whether the user did not set it.

    Raises:
        UserError: If others can write to the folder, or if it belongs to another user.
    """
    reason = find_intruder(folder)
    if reason is None and folder.is_dir():
        owner = folder.stat().st_uid
        if name := _open_to_everyone(folder):
            reason = f"everyone can write to {name}"
        elif not is_trusted(owner) and not _is_shared_with_this_user(folder):
            reason = f"it belongs to {user_name(owner)}"
        elif is_default and not _is_private(folder):
            reason = "another user or a group can write to it"
    if reason is not None:
        raise UserError(
            f"{setting}={folder} is not safe as a cache: {reason}; choose a folder in your home "
            "folder"
        )


def _is_old_cache_usable() -> bool:
    return (
        _is_private(_OLD_CACHE)
        and _open_to_everyone(_OLD_CACHE) is None
        and os.access(_OLD_CACHE, os.W_OK)
    )


def _open_to_everyone(folder: Path) -> str | None:
    """Returns "it" or the name of something in a folder, if everyone can write to that."""
    if folder.stat().st_mode & stat.S_IWOTH:
        return "it"
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if status.st_mode & stat.S_IWOTH and not stat.S_ISLNK(status.st_mode):
                return f"{entry.name} in it"
    return None


def _is_private(folder: Path) -> bool:
    """Returns whether a folder exists, and no other user can write to it or replace it."""
    try:
        status = folder.stat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(status.st_mode)
        and is_trusted(status.st_uid)
        and not status.st_mode & stat.S_IWOTH
        and not is_writable_by_group(status)
        and find_intruder(folder) is None
    )


def _is_shared_with_this_user(folder: Path) -> bool:
    """Returns whether a folder can be written by a group that this user is a member of."""
    status = folder.stat()
    is_member = status.st_gid in (os.getegid(), *os.getgroups())
    return bool(status.st_mode & stat.S_IWGRP) and is_member


def _can_create(folder: Path) -> bool:
    """Returns whether this user can create files in a folder, or the folder with its parents."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return _is_private(folder) and os.access(folder, os.W_OK | os.X_OK)

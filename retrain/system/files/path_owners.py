"""Finds out who owns the parts of a path, and which ones another user could have put there."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# As in Linux.
_MAX_LINKS = 40


class _Entry(NamedTuple):
    """A part of a path.

    Attributes:
        path: Its path, without links before the last part.
        status: Result of `os.lstat`.
        folder: Result of `os.lstat` for the folder that contains it.
    """

    path: Path
    status: os.stat_result
    folder: os.stat_result


def find_intruder(path: Path) -> str | None:
    """Returns why a path can lead to something that another user put there, or None if it cannot.

    In a folder that everyone can write to, such as /tmp, every user can take a name before others
    do. A part of the path in such a folder must therefore belong to this user or to the
    administrator. This includes symbolic links, and the parts of their targets.

    Args:
        path: An absolute path. It does not have to exist.

    Returns:
        A clause for an error message.
    """
    for entry in _entries(path):
        if entry.folder.st_mode & stat.S_IWOTH and not is_trusted(entry.status.st_uid):
            return (
                f"{entry.path} belongs to {user_name(entry.status.st_uid)}, and everyone can write "
                f"to {entry.path.parent}"
            )
    return None


def current_user() -> int:
    """Returns the effective user ID; 0 on Windows, where all files have this owner."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def is_trusted(user: int) -> bool:
    """Returns whether a user ID is that of this process or of the administrator."""
    # In a container, the administrator of the host can have another number than 0.
    return user in (current_user(), 0, os.lstat("/").st_uid)


def user_name(user: int) -> str:
    """Returns "the user NAME" for a user ID."""
    import pwd

    try:
        return f"the user {pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"the user with number {user}"


def is_writable_by_group(status: os.stat_result) -> bool:
    """Returns whether other members of a group can write to a file or folder.

    Args:
        status: Result of `os.stat` for the file or folder.
    """
    return bool(status.st_mode & stat.S_IWGRP) and not _is_own_group(status.st_gid)


def _is_own_group(group: int) -> bool:
    """Returns whether this user is the only member of a group, which then has the user's name."""
    import grp
    import pwd

    user = current_user()
    try:
        name, entry = pwd.getpwuid(user).pw_name, grp.getgrgid(group)
    except KeyError:  # Containers can run as users that have no name.
        return group == user
    return entry.gr_name == name and set(entry.gr_mem) <= {name}


def _entries(path: Path) -> Iterator[_Entry]:
    """Yields the parts of a path that exist, including those of the targets of links."""
    names, folder, links = [*reversed(path.parts[1:])], Path(path.anchor), 0
    while names and links <= _MAX_LINKS:
        name = names.pop()
        if name == "..":
            folder = folder.parent
            continue
        try:
            entry = _Entry(folder / name, os.lstat(folder / name), os.lstat(folder))
            target = entry.path.readlink() if stat.S_ISLNK(entry.status.st_mode) else None
        except OSError:
            return
        yield entry
        if target is None:
            folder = entry.path
            continue
        links += 1
        if target.is_absolute():
            folder = Path(target.anchor)
        names.extend(reversed(target.parts[1:] if target.is_absolute() else target.parts))

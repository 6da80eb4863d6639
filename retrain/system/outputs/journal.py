"""The journal of a run that is replacing files and folders, from which the old ones are restored.

While a run puts its outputs in place, each folder with outputs contains a hidden file with the same
journal. The file is also the lock of this user for the outputs in that folder. The one in the first
folder decides: while it has content, the replacements are not finished.

A journal can come from anyone, in a shared folder or in an archive. It only ever restores what a
workspace of the same user in the same folder contains, and only if the inode numbers of the folder
and of the new file are those that the run has written down, which nobody can know in advance.
"""

import errno
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrain.errors import UserError
from retrain.system.files.path_owners import current_user
from retrain.system.outputs.replacement import Replacement
from retrain.system.outputs.workspace import is_workspace_name

_PREFIX = ".retrain-outputs-"
_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class OutputJournal:
    """Replacements that are all made, or none of them.

    Attributes:
        folders: Folders with outputs and their inode numbers. The first one decides.
        replacements: All replacements, in the order in which they are made.
    """

    folders: tuple[tuple[Path, int], ...]
    replacements: tuple[Replacement, ...]

    def names(self, path: Path) -> bool:
        """Returns whether it replaces a path."""
        return any(replacement.path == path for replacement in self.replacements)

    def to_bytes(self) -> bytes:
        """Returns the content of the files."""
        order = [folder for folder, _ in self.folders]
        rows = [
            [order.index(r.folder), r.name, r.workspace, r.slot, r.is_folder, r.inode]
            for r in self.replacements
        ]
        folders = [[str(folder), inode] for folder, inode in self.folders]
        return json.dumps({"folders": folders, "replacements": rows}).encode()


def journal_file(folder: Path, user: int) -> Path:
    """Returns the path of a user's journal for a folder."""
    return folder / f"{_PREFIX}{user}"


def is_journal_name(name: str) -> bool:
    """Returns whether a name is that of a journal."""
    return name.startswith(_PREFIX)


def open_journal(folder: Path, user: int, access: int) -> int:
    """Opens a user's journal.

    Args:
        folder: Folder that contains it.
        user: User ID.
        access: Flags of `os.open`.

    Returns:
        A file descriptor of a regular file of this user that has no other name.

    Raises:
        OSError: If it does not exist, cannot be opened, or is anything else.
    """
    path = journal_file(folder, user)
    # A link could lead to any file, and opening a pipe could block.
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"):
        access |= getattr(os, name, 0)
    # Others can read it, so that their programs can wait for the end of the replacements.
    descriptor = os.open(path, access, 0o644)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1 and status.st_uid == user:
        return descriptor
    os.close(descriptor)
    raise PermissionError(errno.EPERM, "it is not a file that this program wrote", str(path))


def open_own_journal(folder: Path, access: int) -> int:
    """Opens the journal of the current user in a folder, as `open_journal` does.

    Raises:
        FileNotFoundError: If it does not exist.
        UserError: If it cannot be opened. Another user can have put anything there.
    """
    path = journal_file(folder, current_user())
    try:
        return open_journal(folder, current_user(), access)
    except FileNotFoundError:
        raise  # Another process can have created it since.
    except OSError as error:
        if not os.path.lexists(path):
            raise
        raise UserError(
            f"{path}, which this program needs to replace files, cannot be opened: "
            f"{error.strerror}; remove it, or choose another folder"
        ) from error


def read_journal(descriptor: int, folder: Path) -> OutputJournal | None:
    """Returns the journal in an open file, or None if it is empty, damaged or of another folder.

    Args:
        descriptor: Descriptor that `open_journal` returned.
        folder: The folder that contains the file.
    """
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        data = os.read(descriptor, _MAX_BYTES)
        return _parse(json.loads(data), folder) if data else None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None


def _parse(fields: Any, here: Path) -> OutputJournal | None:
    inode_here = here.stat().st_ino
    # This folder can have been moved, or have another path in this container.
    folders = [
        (here if inode == inode_here else Path(_name(path)), _number(inode))
        for path, inode in fields["folders"]
    ]
    replacements = [
        Replacement(
            folder=folders[_number(index)][0],
            name=_plain_name(name),
            workspace=_plain_name(workspace),
            slot=_plain_name(slot),
            is_folder=is_folder is True,
            inode=_number(inode),
        )
        for index, name, workspace, slot, is_folder, inode in fields["replacements"]
    ]
    is_valid = any(inode == inode_here for _, inode in folders) and all(
        is_workspace_name(r.workspace) and r.slot.isdigit() for r in replacements
    )
    return OutputJournal(tuple(folders), tuple(replacements)) if is_valid else None


def _name(value: Any) -> str:
    if not isinstance(value, str) or b"\0" in os.fsencode(value):
        raise TypeError
    return value


def _plain_name(value: Any) -> str:
    if _name(value) in ("", ".", "..") or Path(value).name != value:
        raise ValueError
    return str(value)


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value


def write_journals(descriptors: Sequence[int], content: bytes) -> None:
    """Writes the same content to the journals of all folders, the deciding first one last.

    Raises:
        OSError: If the disk is full.
    """
    for descriptor in reversed(descriptors):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        os.fsync(descriptor)


def empty_journals(descriptors: Sequence[int]) -> None:
    """Empties the journals of all folders, the deciding first one first: nothing is unfinished."""
    for descriptor in descriptors:
        os.ftruncate(descriptor, 0)
        # Before the old files are removed, it must be certain that they are not needed.
        os.fsync(descriptor)

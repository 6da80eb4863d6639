"""Opens, locks and writes the files that contain the journal of a run.

While a run puts its outputs in place, each folder with outputs contains a hidden file with the same
journal. The file is also the lock of this user for the outputs in that folder. The one in the first
folder decides: while it has content, the replacements are not finished.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import TypeAlias

from retrain.errors import UserError
from retrain.system.files.path_owners import current_user
from retrain.system.outputs.journal import OutputJournal, parse_journal

_PREFIX = ".retrain-outputs-"
_MAX_BYTES = 1_000_000

# Descriptor of the open journal in each folder, in the order of the folders in the journal.
Journals: TypeAlias = dict[Path, int]


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
    except OSError as error:
        # If it did not exist, another process can have created it since.
        if isinstance(error, FileNotFoundError) or not os.path.lexists(path):
            raise
        raise UserError(
            f"{path}, which this program needs to replace files, cannot be opened: "
            f"{error.strerror}; remove it, or choose another folder"
        ) from error


def peek_journal(folder: Path, user: int) -> OutputJournal | None:
    """Returns the journal of a user in a folder, or None if there is none.

    Raises:
        OSError: If `open_journal` refuses the file, or it cannot be read.
    """
    try:
        descriptor = open_journal(folder, user, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return read_journal(descriptor, folder)
    finally:
        os.close(descriptor)


def read_journal(descriptor: int, folder: Path) -> OutputJournal | None:
    """Returns the journal in an open file, or None if it is empty, damaged or of another folder.

    Args:
        descriptor: Descriptor that `open_journal` returned.
        folder: The folder that contains the file.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    return parse_journal(os.read(descriptor, _MAX_BYTES), folder)


def write_journals(journals: Journals, journal: OutputJournal) -> None:
    """Writes the same journal to all folders, to the deciding first one last.

    Raises:
        OSError: If the disk is full.
    """
    for descriptor in reversed(journals.values()):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(journal.to_bytes())
        os.fsync(descriptor)


def empty_journals(journals: Journals) -> None:
    """Empties the journals of all folders, the deciding first one first: nothing is unfinished."""
    for descriptor in journals.values():
        os.ftruncate(descriptor, 0)
        # Before the old files are removed, it must be certain that they are not needed.
        os.fsync(descriptor)


def remove_journals(journals: Journals) -> None:
    """Removes the journals that are empty."""
    for folder, descriptor in journals.items():
        # Windows does not remove open files.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if not os.fstat(descriptor).st_size:
                journal_file(folder, current_user()).unlink()

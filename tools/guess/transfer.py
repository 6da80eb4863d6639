"""Copies, moves or links one image without ever losing it or replacing another file.

The target appears in one step when its content is on the disk. A moved image leaves its old place
only after that.
"""

import contextlib
import filecmp
import os
from pathlib import Path
from typing import NamedTuple

from tools.guess import new_files
from tools.guess.errors import TransferError
from tools.guess.new_files import FileState

# The operations.
COPY = "copy"
MOVE = "move"
HARD_LINK = "hard"
SYMBOLIC_LINK = "symbolic"
# What a run did to an image, by the operation.
ACTIONS = {COPY: "copied", MOVE: "moved", HARD_LINK: "hard-linked", SYMBOLIC_LINK: "linked"}


class Transfer(NamedTuple):
    """The path of an image and the path to transfer it to, both absolute."""

    source: Path
    target: Path


def create_target(transfer: Transfer, operation: str) -> FileState:
    """Creates the target, unless an earlier call did. Does not remove the source.

    Args:
        transfer: Source and target.
        operation: COPY, MOVE, HARD_LINK or SYMBOLIC_LINK.

    Returns:
        The state of the source from which the target was created.

    Raises:
        TransferError: If this image cannot be transferred.
        UnwritableError: If the folder of the target cannot be written.
    """
    source, target = transfer
    state = new_files.read_state(source)
    if os.path.lexists(target):
        if not _was_created(transfer, operation):
            raise TransferError(f"{target} already exists")
        return state
    new_files.create_folder(target.parent)
    if operation == SYMBOLIC_LINK:
        new_files.create_symbolic_link(source, target)
    elif operation == HARD_LINK:
        new_files.create_hard_link(source, target)
    elif operation == MOVE and source.is_symlink():
        # A relative link would not work in another folder.
        new_files.create_symbolic_link(Path(os.path.realpath(source)), target)
    elif operation == COPY or not new_files.try_hard_link(source, target):
        return new_files.copy(source, target)
    return state


def remove_source(transfer: Transfer, state: FileState) -> None:
    """Removes the source after `create_target`.

    Args:
        transfer: Source and target.
        state: Result of `create_target`.

    Raises:
        TransferError: If the source has changed since or cannot be removed.
    """
    source, target = transfer
    if new_files.read_state(source) != state:
        raise TransferError(f"it changed during the copy; {target} has its previous content")
    try:
        source.unlink(missing_ok=True)
    except OSError as error:
        target.unlink()
        raise TransferError(f"it cannot be removed from its folder: {error.strerror}") from error


def remove_partial_target(transfer: Transfer) -> None:
    """Removes what an interrupted `create_target` left: an incomplete copy or a reserved name."""
    source, target = transfer
    with contextlib.suppress(OSError):
        new_files.temporary_path(target).unlink(missing_ok=True)
        if target.lstat().st_size == 0 and source.stat().st_size > 0:
            target.unlink()


def can_replace(file: Path, other: Path) -> bool:
    """Returns whether `file` still has the complete content of `other` after `other` is removed."""
    if file.resolve() == other.parent.resolve() / other.name:
        return False
    if file.is_symlink() and other.is_symlink() and file.resolve() == other.resolve():
        return True
    try:
        return filecmp.cmp(file, other, shallow=False)
    except OSError:
        return False


def _was_created(transfer: Transfer, operation: str) -> bool:
    source, target = transfer
    try:
        if operation == SYMBOLIC_LINK:
            return target.readlink() == source
        if operation == HARD_LINK:
            return target.samefile(source)
    except OSError:
        return False
    return can_replace(target, source)

"""Copies, moves or links one image without ever losing it or replacing another file.

The target appears in one step when its content is on the disk. A moved image leaves its old place
only after that.
"""

import contextlib
import errno
import filecmp
import os
from pathlib import Path
from typing import NamedTuple

from tools.transfers import new_files
from tools.transfers.errors import TransferError

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


def create_target(transfer: Transfer, operation: str) -> os.stat_result:
    """Creates the target, unless an earlier call did. Does not remove the source.

    Args:
        transfer: Source and target.
        operation: COPY, MOVE, HARD_LINK or SYMBOLIC_LINK.

    Returns:
        The status of the source from which the target was created.

    Raises:
        TransferError: If this image cannot be transferred.
        UnwritableError: If the folder of the target cannot be written.
    """
    source, target = transfer
    status = new_files.read_status(source)
    if os.path.lexists(target):
        if not _was_created(transfer, operation):
            raise TransferError(f"{target} already exists")
        return status
    new_files.create_folder(target.parent)
    with new_files.translated_errors(target):
        if operation == SYMBOLIC_LINK:
            target.symlink_to(source)
        elif operation == MOVE and source.is_symlink():
            # A relative link would not work in another folder.
            target.symlink_to(os.path.realpath(source))
        elif operation == HARD_LINK:
            if error := new_files.try_hard_link(source.resolve(), target):
                is_other = error.errno == errno.EXDEV
                raise TransferError(
                    f"no hard link to it is possible in {target.parent}: "
                    f"{'it is on another file system' if is_other else error.strerror}; "
                    "use --link=symbolic, or copy the images"
                )
        elif operation == COPY or new_files.try_hard_link(source, target):
            return new_files.copy(source, target)
    return status


def remove_source(transfer: Transfer, status: os.stat_result) -> None:
    """Removes the source after `create_target`.

    Args:
        transfer: Source and target.
        status: Result of `create_target`.

    Raises:
        TransferError: If the source has changed since or cannot be removed.
    """
    source, target = transfer
    if not new_files.is_unchanged(status, new_files.read_status(source)):
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

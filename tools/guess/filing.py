"""Files many images at a time, and finishes what was stopped in between."""

import errno
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.guess.placing import (
    MOVE,
    FullError,
    NotFiledError,
    Placing,
    State,
    discard_leftovers,
    put,
    take_away,
)

# Threads that wait for the disk; it writes several files at once in the time of one.
_THREADS = 16


def place_all(placings: Sequence[Placing], how: str) -> dict[int, str]:
    """Puts images where they are to be.

    Folders are made where they are missing. When it returns, all is on the disk, so that a loss of
    power takes nothing back.

    Args:
        placings: none of whose targets is that of another one.
        how: COPY, MOVE, HARD or SYMBOLIC: what is at the target then.

    Returns:
        For the numbers of those that stay where they are: why.

    Raises:
        FullError: there is no room, or no permission to write, in the folder of a target.
    """
    failed: dict[int, str] = {}
    placed: dict[int, State] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = [pool.submit(put, placing, how) for placing in placings]
        for number, future in enumerate(waiting):
            try:
                placed[number] = future.result()
            except NotFiledError as error:
                failed[number] = str(error)
    folders = {placings[number].target.parent for number in placed}
    # A folder may be a new one, whose own name is in the folder around it.
    for folder in folders | {folder.parent for folder in folders}:
        sync_folder(folder)
    if how == MOVE:
        for number, state in placed.items():
            try:
                take_away(placings[number], state)
            except NotFiledError as error:
                failed[number] = str(error)
    return failed


def finish_all(placings: Sequence[Placing], how: str) -> dict[int, str]:
    """Does what `place_all` was stopped at, with the same arguments; returns what it would have.

    Raises:
        FullError: as of `place_all`.
    """
    for placing in placings:
        discard_leftovers(placing)
    rest = [n for n, placing in enumerate(placings) if how != MOVE or not _was_moved(placing)]
    failed = place_all([placings[number] for number in rest], how)
    return {rest[number]: reason for number, reason in failed.items()}


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, where its file system can tell.

    Raises:
        FullError: they could not be written.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
            raise FullError(f"{folder} cannot be written: {error.strerror}") from error


def _was_moved(placing: Placing) -> bool:
    return not os.path.lexists(placing.source) and os.path.lexists(placing.target)

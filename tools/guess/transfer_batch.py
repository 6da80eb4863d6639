"""Transfers many images at a time, and completes an interrupted batch."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tools.guess.errors import TransferError
from tools.guess.new_files import FileState, sync_folders
from tools.guess.transfer import (
    MOVE,
    Transfer,
    create_target,
    remove_partial_target,
    remove_source,
)

# These threads mostly wait for the disk, which writes several files in the time of one.
_THREADS = 16


def transfer_all(transfers: Sequence[Transfer], operation: str) -> dict[int, str]:
    """Transfers images. Creates missing folders.

    When the function returns, all changes are on the disk and survive a power failure.

    Args:
        transfers: Transfers with different targets.
        operation: COPY, MOVE, HARD_LINK or SYMBOLIC_LINK.

    Returns:
        The reason for each image that was not transferred, by its index in `transfers`.

    Raises:
        UnwritableError: If the folder of a target cannot be written.
    """
    failures: dict[int, str] = {}
    states: dict[int, FileState] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        futures = [pool.submit(create_target, transfer, operation) for transfer in transfers]
        for index, future in enumerate(futures):
            try:
                states[index] = future.result()
            except TransferError as error:
                failures[index] = str(error)
    sync_folders(transfers[index].target.parent for index in states)
    if operation == MOVE:
        for index, state in states.items():
            try:
                remove_source(transfers[index], state)
            except TransferError as error:
                failures[index] = str(error)
    return failures


def resume_all(transfers: Sequence[Transfer], operation: str) -> dict[int, str]:
    """Completes an interrupted `transfer_all` with the same arguments and the same result.

    Raises:
        UnwritableError: If the folder of a target cannot be written.
    """
    for transfer in transfers:
        remove_partial_target(transfer)
    remaining = [
        index
        for index, transfer in enumerate(transfers)
        if operation != MOVE or not _was_moved(transfer)
    ]
    failures = transfer_all([transfers[index] for index in remaining], operation)
    return {remaining[index]: reason for index, reason in failures.items()}


def _was_moved(transfer: Transfer) -> bool:
    return not os.path.lexists(transfer.source) and os.path.lexists(transfer.target)

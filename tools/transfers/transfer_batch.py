"""Transfers many images at a time, and completes an interrupted batch."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from tools.transfers.errors import TransferError
from tools.transfers.new_files import sync_folders
from tools.transfers.transfer import (
    MOVE,
    Transfer,
    create_target,
    remove_partial_target,
    remove_source,
)

# These threads mostly wait for the disk, which writes several files in the time of one.
_THREADS = 16

_Image = TypeVar("_Image")
_Result = TypeVar("_Result")


def attempt(
    function: Callable[[_Image], _Result], images: Iterable[_Image]
) -> tuple[dict[_Image, _Result], dict[_Image, str]]:
    """Calls a function for each image in threads.

    Returns:
        The result for each image, and the reason for each TransferError.

    Raises:
        UnwritableError: If a call raises it. The other calls are completed before.
    """
    results: dict[_Image, _Result] = {}
    failures: dict[_Image, str] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        futures = {image: pool.submit(function, image) for image in images}
        for image, future in futures.items():
            try:
                results[image] = future.result()
            except TransferError as error:
                failures[image] = str(error)
    return results, failures


def transfer_all(transfers: Sequence[Transfer], operation: str) -> dict[Transfer, str]:
    """Transfers images. Creates missing folders.

    When the function returns, all changes are on the disk and survive a power failure.

    Args:
        transfers: Transfers with different targets.
        operation: COPY, MOVE, HARD_LINK or SYMBOLIC_LINK.

    Returns:
        The reason for each image that was not transferred.

    Raises:
        UnwritableError: If the folder of a target cannot be written.
    """
    statuses, failures = attempt(partial(create_target, operation=operation), transfers)
    sync_folders(transfer.target.parent for transfer in statuses)
    if operation == MOVE:
        _, not_removed = attempt(
            lambda transfer: remove_source(transfer, statuses[transfer]), statuses
        )
        failures |= not_removed
    return failures


def resume_all(transfers: Sequence[Transfer], operation: str) -> dict[Transfer, str]:
    """Completes an interrupted `transfer_all` with the same arguments and the same result.

    Raises:
        UnwritableError: If the folder of a target cannot be written.
    """
    for transfer in transfers:
        remove_partial_target(transfer)
    if operation == MOVE:
        transfers = [transfer for transfer in transfers if not _was_moved(transfer)]
    return transfer_all(transfers, operation)


def _was_moved(transfer: Transfer) -> bool:
    return not os.path.lexists(transfer.source) and os.path.lexists(transfer.target)

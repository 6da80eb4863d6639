"""Restores many images at a time. An interrupted call can be repeated."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from retrain.system.batches import batches
from tools.transfers.folder_tree import FolderTree
from tools.transfers.new_files import sync_folders
from tools.transfers.restore import Restorer, SortedImage
from tools.transfers.run_records import RunRecord
from tools.transfers.transfer import MOVE
from tools.transfers.transfer_batch import attempt

_BATCH_SIZE = 64


class UndoCounts(NamedTuple):
    """Numbers of images. Those that an earlier undo restored are in neither.

    Attributes:
        restored: Number of images that the undo restored.
        failed: Number of images that cannot be restored.
    """

    restored: int
    failed: int


def restore_all(images: Sequence[SortedImage], record: RunRecord, operation: str) -> UndoCounts:
    """Restores the images of a run, the last one first.

    Args:
        images: Images in the order in which they were sorted.
        record: The folders of the run.
        operation: `transfer.COPY`, `MOVE`, `HARD_LINK` or `SYMBOLIC_LINK`.

    Raises:
        UnwritableError: If the folder of an image cannot be written.
    """
    restorer = Restorer(record, operation)
    # If a run gave an image a name that another one had, the last change comes first.
    images = images[::-1]
    if operation == MOVE:
        count, failures = _move_back(images, restorer, record)
    else:
        removed, failures = attempt(restorer.remove_copy, images)
        count = sum(removed.values())
    for image, reason in failures.items():
        logging.warning("%s was not restored: %s", Path(record.source, image.image), reason)
    return UndoCounts(count, len(failures))


def remove_folders(created: Iterable[str], record: RunRecord) -> None:
    """Removes the folders that a run created, if they are empty.

    Args:
        created: Names as in `RunRecord.created`.
        record: The folders of the run.
    """
    target = FolderTree(Path(record.real_target))
    for folder in sorted(created, key=lambda name: (name != ".", name), reverse=True):
        target.remove_folder(folder)


def _move_back(
    images: Sequence[SortedImage], restorer: Restorer, record: RunRecord
) -> tuple[int, dict[SortedImage, str]]:
    """Moves images to their old places.

    Returns:
        The number of images that were moved, and the reason for each that cannot be moved.
    """
    remaining, count = images, 0
    while True:
        failures: dict[SortedImage, str] = {}
        for batch in batches(remaining, _BATCH_SIZE):
            moved_count, failed = _move_batch(batch, restorer, record)
            count += moved_count
            failures |= failed
        # The place of an image can have been occupied by another one that is moved back by now.
        failed_images = [image for image in remaining if image in failures]
        if len(failed_images) in (0, len(remaining)):
            return count, failures
        remaining = failed_images


def _move_batch(
    batch: Sequence[SortedImage], restorer: Restorer, record: RunRecord
) -> tuple[int, dict[SortedImage, str]]:
    states, failures = attempt(restorer.create_image, batch)
    # The images must be on the disk before they leave their new places.
    sync_folders(Path(record.real_source, image.image).parent for image in states)
    created = {image: status for image, status in states.items() if status is not None}

    def remove(image: SortedImage) -> None:
        restorer.remove_target(image, created[image])

    removed, not_removed = attempt(remove, created)
    return len(removed), failures | not_removed

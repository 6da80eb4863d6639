"""Restores images to where they were before guess_dir sorted them.

Only images in the two folders of the run are touched, and only if they are what the run put there.
The folders are known from the user's own record of the run (`run_records`), or from the command
line if there is no such record, because an earlier version or another user sorted the images.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from retrain.errors import UserError
from retrain.system.batches import batches
from tools.guess import image_names, results_file, run_records
from tools.guess.errors import TransferError, UnwritableError
from tools.guess.folder_tree import FolderTree
from tools.guess.image_names import InvalidNameError
from tools.guess.journal import NAME, Journal, is_journal
from tools.guess.new_files import sync_folders
from tools.guess.plan import Plan
from tools.guess.restore import Restorer, SortedImage
from tools.guess.results import OPERATIONS, PLANNED, Result
from tools.guess.run_records import RunRecord
from tools.guess.transfer import MOVE

_T = TypeVar("_T")

_BATCH_SIZE = 64
# These threads mostly wait for the disk.
_THREADS = 16


class UndoCounts(NamedTuple):
    """Numbers of images. Those that an earlier undo restored are in neither.

    Attributes:
        restored: Number of images that the undo restored.
        failed: Number of images that cannot be restored.
    """

    restored: int
    failed: int


def undo(path: Path, folders: tuple[Path, Path] | None = None) -> UndoCounts:
    """Restores the images of a run. An interrupted undo can be repeated.

    Args:
        path: Path of the results file of a run, or of the journal of an interrupted run.
        folders: SRC and DEST of the run. Required if this user has no record of the run.

    Raises:
        UserError: If the file is neither, records a dry run, belongs to other folders, or names
            anything else than images in them. Nothing is changed then.
        UnwritableError: If the folder of an image cannot be written.
    """
    if path.suffix.lower() in results_file.FORMATS:
        return _undo_results(path, folders)
    _check_is_journal(path)
    with Journal(path) as journal:
        return _undo_journal(journal, folders)


def undo_and_report(path: Path, folders: tuple[Path, Path] | None = None) -> int:
    """Restores the images of a run as `undo` does, logs how many, and returns the exit status.

    Raises:
        UserError: As for `undo`, and if the folder of an image cannot be written.
    """
    try:
        counts = undo(path, folders)
    except UnwritableError as error:
        raise UserError(f"{error}; solve the problem and run the same command again") from error
    if any(counts):
        logging.info("Restored %d images", counts.restored)
    else:
        logging.info("Nothing is left to undo: no image is where the run put it")
    return int(counts.failed > 0)


def _undo_results(path: Path, folders: tuple[Path, Path] | None) -> UndoCounts:
    try:
        sha256 = results_file.digest(path)
        record = _find_record(sha256, path, folders)
        results = list(results_file.read(path, sha256=sha256))
    except OSError as error:
        raise UserError(f"--undo={path} cannot be read: {error.strerror}") from error
    if any(result.action == PLANNED for result in results):
        raise UserError(f"--undo={path} records a --dry_run, which changed nothing")
    with _explained_names(path):
        images = [_sorted_image(result, record) for result in results if result.target is not None]
    counts = _restore(images, record)
    _remove_folders(record.created, record)
    return counts


def _undo_journal(journal: Journal, folders: tuple[Path, Path] | None) -> UndoCounts:
    if journal.settings is None:
        journal.remove()
        return UndoCounts(0, 0)
    record = _find_record(journal.run_key, journal.path, folders)
    settings = journal.settings
    recorded = settings["source"], settings["target"], os.path.realpath(journal.path)
    if recorded != (record.source, record.target, f"{record.real_target}/{NAME}"):
        raise UserError(
            f"--undo={journal.path} does not belong to a run from {record.source} to "
            f"{record.target}; nothing was changed"
        )
    journal.write_undo()
    restorer = _restorer(record)
    pending = list(_sorted_images(journal.pending, settings["how"]))
    for image in pending:
        restorer.remove_partial(image)
    counts = _restore([*_sorted_images(journal.outcomes(), settings["how"]), *pending], record)
    # Without a record, the journal is not proof that the run created the folders.
    is_recorded = run_records.read(journal.run_key) is not None
    if not counts.failed:
        journal.remove()
        run_records.remove(journal.run_key)
    if is_recorded:
        _remove_folders(journal.created_folders, record)
    return counts


def _sorted_images(plans: Iterable[Plan], operation: str) -> Iterator[SortedImage]:
    for plan in plans:
        if plan.target is not None:
            yield SortedImage(plan.image, plan.target, operation, plan.digest)


def _find_record(key: str | None, path: Path, folders: tuple[Path, Path] | None) -> RunRecord:
    """Returns the folders of a run, from the user's own record or from the command line."""
    named = RunRecord.of_folders(*folders) if folders else None
    record = run_records.read(key) or named
    if record is None:
        raise UserError(
            f"--undo={path} was not written by this version of guess_dir for you, or has changed; "
            f"if you know that it is right, name its folders, as in --undo={path} SRC DEST, and "
            "only images in these are restored"
        )
    if named and (named.real_source, named.real_target) != (record.real_source, record.real_target):
        raise UserError(
            f"--undo={path} records a run from {record.source} to {record.target}, not from "
            f"{named.source} to {named.target}; omit the folders"
        )
    return record


def _check_is_journal(path: Path) -> None:
    expected = "the file of --results or the journal of an interrupted run"
    if not path.exists():
        raise UserError(f"--undo={path} does not exist; choose {expected}")
    if path.is_dir():
        raise UserError(f"--undo={path} is a folder; choose {expected}")
    try:
        # A journal is removed after the undo. Other files must never be.
        is_valid = path.is_file() and is_journal(path)
    except OSError as error:
        raise UserError(f"--undo={path} cannot be read: {error.strerror}") from error
    if not is_valid:
        raise UserError(
            f"--undo={path} is neither a results file, which ends with {results_file.FORMAT_LIST}, "
            "nor the journal of an interrupted run; choose one of these"
        )


@contextlib.contextmanager
def _explained_names(path: Path) -> Iterator[None]:
    try:
        yield
    except InvalidNameError as error:
        raise UserError(f"--undo={path} is refused: {error}; nothing was changed") from error


def _sorted_image(result: Result, record: RunRecord) -> SortedImage:
    """Returns a result with names relative to the folders of the run."""
    image = _relative(result.image, (record.source, record.real_source))
    target = _relative(str(result.target), (record.target, record.real_target))
    names = image_names.check_names(image, target)
    return SortedImage(*names, OPERATIONS[str(result.action)], result.sha256)


def _relative(path: str, folders: Sequence[str]) -> str:
    for folder in folders:
        prefix = folder.rstrip("/") + "/"
        if path.startswith(prefix):
            return path.removeprefix(prefix)
    raise InvalidNameError(f"{ascii(path)[:200]} is not in {folders[0]}")


def _restorer(record: RunRecord) -> Restorer:
    return Restorer(
        FolderTree(Path(record.real_source)),
        FolderTree(Path(record.real_target)),
        typed_source=Path(record.source),
    )


def _restore(images: Sequence[SortedImage], record: RunRecord) -> UndoCounts:
    restorer = _restorer(record)
    # If a run gave an image a name that another one had, the last change comes first.
    moved = [image for image in reversed(images) if image.operation == MOVE]
    copied = [image for image in reversed(images) if image.operation != MOVE]
    removed, failures = _attempt(restorer.remove_copy, copied)
    moved_back, not_moved = _move_back(moved, restorer, record)
    failures |= not_moved
    for image, reason in failures.items():
        logging.warning("%s was not restored: %s", Path(record.source, image.image), reason)
    return UndoCounts(sum(removed.values()) + moved_back, len(failures))


def _remove_folders(created: Iterable[str], record: RunRecord) -> None:
    """Removes the folders that the run created, if they are empty."""
    target = FolderTree(Path(record.real_target))
    for folder in sorted(created, key=lambda name: (name != ".", name), reverse=True):
        target.remove_folder(folder)


def _move_back(
    moved: Sequence[SortedImage], restorer: Restorer, record: RunRecord
) -> tuple[int, dict[SortedImage, str]]:
    """Moves images to their old places.

    Returns:
        The number of images that were moved, and the reason for each that cannot be moved.
    """
    remaining, count = list(moved), 0
    while True:
        failures: dict[SortedImage, str] = {}
        for batch in batches(remaining, _BATCH_SIZE):
            created, failed = _attempt(restorer.create_image, batch)
            failures |= failed
            # The images must be on the disk before they leave their new places.
            sync_folders(Path(record.real_source, image.image).parent for image in created)
            for image, status in created.items():
                if status is not None:
                    removed, failed = _attempt(restorer.remove_target, [image], status)
                    count += len(removed)
                    failures |= failed
        # The place of an image can have been occupied by another one that is moved back by now.
        failed_images = [image for image in remaining if image in failures]
        if len(failed_images) in (0, len(remaining)):
            return count, failures
        remaining = failed_images


def _attempt(
    function: Callable[..., _T], images: Iterable[SortedImage], *arguments: object
) -> tuple[dict[SortedImage, _T], dict[SortedImage, str]]:
    """Calls a function for each image; returns the results and the reasons for failures."""
    results: dict[SortedImage, _T] = {}
    failures: dict[SortedImage, str] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        futures = {image: pool.submit(function, image, *arguments) for image in images}
        for image, future in futures.items():
            try:
                results[image] = future.result()
            except TransferError as error:
                failures[image] = str(error)
    return results, failures

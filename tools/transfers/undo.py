"""Restores images to where they were before guess_dir sorted them.

Only images in the two folders of the run are touched, and only if they are what the run put there.
The folders are known from the user's own record of the run (`run_records`), or from the command
line if there is no such record, because an earlier version or another user sorted the images.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from retrain.errors import UserError
from tools.transfers import image_names, results_file, run_records
from tools.transfers.errors import UnwritableError
from tools.transfers.image_names import InvalidNameError
from tools.transfers.journal import NAME, Journal, is_journal
from tools.transfers.plan import Plan
from tools.transfers.restore import Restorer, SortedImage
from tools.transfers.restore_batch import UndoCounts, remove_folders, restore_all
from tools.transfers.results_file import PLANNED, ImageRecord
from tools.transfers.run_records import RunRecord
from tools.transfers.transfer import ACTIONS

_OPERATIONS = {action: operation for operation, action in ACTIONS.items()}


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
        images = [each for each in results_file.read(path, sha256=sha256) if each.target]
    except OSError as error:
        raise UserError(f"--undo={path} cannot be read: {error.strerror}") from error
    actions = {image.action for image in images}
    if PLANNED in actions:
        raise UserError(f"--undo={path} records a --dry_run, which changed nothing")
    if len(actions) > 1:
        raise UserError(
            f"--undo={path} is refused: its images were {' and '.join(sorted(map(str, actions)))}, "
            "but a run does only one of these; nothing was changed"
        )
    try:
        sorted_images = [_sorted_image(image, record) for image in images]
    except InvalidNameError as error:
        raise UserError(f"--undo={path} is refused: {error}; nothing was changed") from error
    counts = UndoCounts(0, 0)
    for action in actions:
        counts = restore_all(sorted_images, record, _OPERATIONS[str(action)])
    remove_folders(record.created, record)
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
    pending = list(_sorted_images(journal.pending))
    restorer = Restorer(record, settings["how"])
    for image in pending:
        restorer.remove_partial(image)
    counts = restore_all([*_sorted_images(journal.outcomes()), *pending], record, settings["how"])
    # Without a record, the journal is not proof that the run created the folders.
    is_recorded = run_records.read(journal.run_key) is not None
    if not counts.failed:
        journal.remove()
        run_records.remove(journal.run_key)
    if is_recorded:
        remove_folders(journal.created_folders, record)
    return counts


def _sorted_images(plans: Iterable[Plan]) -> Iterator[SortedImage]:
    for plan in plans:
        if plan.target is not None:
            yield SortedImage(plan.image, plan.target, plan.digest)


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


def _sorted_image(image: ImageRecord, record: RunRecord) -> SortedImage:
    """Returns an image with names relative to the folders of the run."""
    old_name = _relative(image.image, (record.source, record.real_source))
    new_name = _relative(str(image.target), (record.target, record.real_target))
    return SortedImage(*image_names.check_names(old_name, new_name), image.sha256)


def _relative(path: str, folders: Sequence[str]) -> str:
    for folder in folders:
        prefix = folder.rstrip("/") + "/"
        if path.startswith(prefix):
            return path.removeprefix(prefix)
    raise InvalidNameError(f"{ascii(path)[:200]} is not in {folders[0]}")

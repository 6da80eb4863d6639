"""Moves images out of a data set, with a journal from which they can be restored.

The journal is that of guess_dir. It is written before any image is moved, so that nothing is lost
at whatever moment the program is killed, and stays in the quarantine folder as the undo file.
"""

from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from retrain.data_check.findings import KIND_OF_NAME, REDUNDANT
from retrain.errors import UserError
from retrain.system.batches import batches
from retrain.system.outputs.checks import check_folder_writable
from retrain.system.program.interruption import Interruption
from tools.check.data_check import CheckResult
from tools.transfers import digests, run_records, transfer
from tools.transfers.errors import UnwritableError
from tools.transfers.journal import NAME, Journal
from tools.transfers.journaled_batches import JournaledBatches
from tools.transfers.plan import Plan
from tools.transfers.run_records import RunRecord

_BATCH_SIZE = 64


def check_quarantine_folder(folder: Path, image_dir: Path) -> None:
    """Checks that images can be moved to a folder.

    Raises:
        UserError: If the folder cannot be written, or is in the image folder, where the images
            would be used again.
    """
    if folder.resolve().is_relative_to(image_dir.resolve()):
        raise UserError(
            f"--quarantine_dir={folder} is in --image_dir={image_dir}, where its images would be "
            "classes of their own; choose another folder"
        )
    check_folder_writable(folder, "quarantine_dir")


def images_to_move(result: CheckResult, kinds: Collection[str]) -> dict[int, str]:
    """Returns the kind of the first finding that removes each image, by the image's index.

    Images that identical or nearly identical ones replace are moved, except the first of a group.
    An image outside the image folder is never moved.
    """
    moved: dict[int, str] = {}
    for finding in result.findings:
        if finding.kind in kinds:
            is_redundant = KIND_OF_NAME[finding.kind].removal == REDUNDANT
            remaining = [index for index in finding.images if index not in moved]
            for index in remaining[1:] if is_redundant else remaining:
                moved.setdefault(index, finding.kind)
    image_dir = result.dataset.image_dir
    return {
        index: kind
        for index, kind in sorted(moved.items())
        if result.dataset.images[index].path.is_relative_to(image_dir)
    }


class MoveCounts(NamedTuple):
    """Number of images that were moved, number of images that were not, and the undo file."""

    moved: int
    failed: int
    undo_file: Path


def move_images(
    result: CheckResult, kinds: Collection[str], quarantine_dir: Path
) -> MoveCounts | None:
    """Moves the images of all findings of some kinds to a new folder in the quarantine folder.

    Args:
        result: Result of the check.
        kinds: Names of the kinds.
        quarantine_dir: Folder that `check_quarantine_folder` has accepted.

    Returns:
        None if there are no such images.

    Raises:
        UserError: If the folder or the journal cannot be written. Images that were moved by then
            can be restored from the undo file.
        Interruption: If Ctrl-C or SIGTERM interrupts the move. The message names the undo file.
    """
    moved = images_to_move(result, kinds)
    if not moved:
        return None
    source = result.dataset.image_dir
    target = _new_folder(quarantine_dir)
    with Journal(target / NAME) as journal:
        try:
            kinds_by_name = {result.name_image(index): kind for index, kind in moved.items()}
            failed = _move(journal, source, target, kinds_by_name)
        except UnwritableError as error:
            raise UserError(f"{error}; {_describe_progress(journal)}") from error
        except KeyboardInterrupt as error:
            raise Interruption(f"interrupted; {_describe_progress(journal)}") from error
        return MoveCounts(journal.total - failed, failed, journal.path)


def _describe_progress(journal: Journal) -> str:
    return (
        f"at least {journal.num_done} of {journal.total} images were moved; restore them with "
        f"--undo={journal.path}"
    )


def _new_folder(quarantine_dir: Path) -> Path:
    """Creates a folder that is named after the time. A second one in the same second waits."""
    name = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    number = 1
    while True:
        folder = quarantine_dir / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
        except OSError as error:
            raise UserError(
                f"--quarantine_dir={quarantine_dir} cannot be written: {error.strerror}; choose "
                "another folder"
            ) from error


def _move(journal: Journal, source: Path, target: Path, kinds: dict[str, str]) -> int:
    """Moves images to folders named after the kinds; returns how many could not be moved.

    Args:
        journal: A new journal.
        source: Image folder.
        target: New folder for this run.
        kinds: Kind by path relative to `source`.
    """
    key = run_records.new_key()
    run_records.write(key, RunRecord.of_folders(source, target))
    # The keys are those that an undo reads.
    settings = {
        "source": str(source),
        "target": str(target),
        "how": transfer.MOVE,
        "dry_run": False,
    }
    labels = sorted(set(kinds.values()))
    journal.start(settings, labels, kinds, run_key=key, created_folders=["."])
    journaled = JournaledBatches(journal, source, target, transfer.MOVE)
    return sum(
        journaled.transfer([_plan(source, name, kinds[name]) for name in names])
        for names in batches(kinds, _BATCH_SIZE)
    )


def _plan(source: Path, name: str, kind: str) -> Plan:
    digest = digests.of_image(source / name, moves=True)
    return Plan(name, f"{kind}/{name}", label=kind, digest=digest)

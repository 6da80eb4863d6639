"""Records the progress of a run, so that it can be continued or undone after an interruption.

The journal is an append-only file of JSON lines: the settings of the run, the name of each image,
the number of images, and then two lines for each batch: its plans before the images are
transferred, and its failures afterwards. Plans without the second line are executed again, which
`transfer_batch.resume_all` makes harmless.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain.errors import UserError
from retrain.system.batches import batches
from retrain.system.files.private_files import read_private
from tools.transfers import image_names, journal_fields
from tools.transfers.journal_file import JournalFile
from tools.transfers.new_files import sync_folder
from tools.transfers.plan import Plan

NAME = ".guess_dir.journal"

_VERSION = 1
_FIRST_BYTES = b'{"guess_dir_journal"'
_NAMES_PER_WRITE = 1000


def is_journal(path: Path) -> bool:
    """Returns whether a file is a journal, possibly one whose first line is incomplete.

    Raises:
        OSError: If the file cannot be read.
    """
    start = read_private(path, max_bytes=len(_FIRST_BYTES))
    return start == _FIRST_BYTES or (path.name == NAME and _can_be_first_line(start))


class Journal:
    """A journal, locked for other processes until it is closed. A context manager.

    Attributes:
        path: Path of the file.
        settings: Settings of the run, None if the journal is new. `sort_images` defines the keys.
        labels: Labels of the classifier.
        total: Number of images in the run.
        num_done: Number of images that the run has finished.
        pending: Plans of the batch that was being transferred when the run was interrupted.
        is_being_undone: Whether an undo of the run has begun.
        run_key: Key of the run's record in `run_records`, None for files of earlier versions.
        created_folders: Subfolders of the target folder that the run has created or is about to
            create, and "." if it created the target folder.
    """

    settings: dict[str, Any] | None
    labels: tuple[str, ...]
    pending: list[Plan]
    run_key: str | None
    created_folders: list[str]

    def __init__(self, path: Path) -> None:
        """Opens a journal, or creates an empty one.

        Raises:
            UserError: If the file is in use, cannot be written, or is not a journal.
        """
        self.path = path
        self._reset()
        self._file = JournalFile(path)
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def is_started(self) -> bool:
        """Whether the run has done or planned anything."""
        return bool(self.num_done or self.pending)

    def start(
        self,
        settings: Mapping[str, Any],
        labels: Sequence[str],
        images: Iterable[str],
        *,
        run_key: str | None = None,
        created_folders: Sequence[str] = (),
    ) -> None:
        """Replaces the content with the start of a new run.

        Args:
            settings: Settings of the run.
            labels: Labels of the classifier.
            images: Paths of the images relative to the source folder.
            run_key: Initial value of the attribute.
            created_folders: Initial value of the attribute.

        Raises:
            UnwritableError: If the journal cannot be written.
        """
        self._reset()
        self._file.truncate(0)
        self.settings, self.labels = dict(settings), tuple(labels)
        self.run_key, self.created_folders = run_key, list(created_folders)
        header = {"guess_dir_journal": _VERSION, "run": self.settings, "labels": self.labels}
        self._append({**header, "key": run_key, "folders": self.created_folders})
        for names in batches(images, _NAMES_PER_WRITE):
            self._append(*names)
            self.total += len(names)
        self._append({"pictures": self.total})
        self._file.sync()
        sync_folder(self.path.parent)

    def remaining_images(self) -> Iterator[str]:
        """Yields the paths of the images that are not done, relative to the source folder."""
        return map(json.loads, self._file.lines(1 + self.num_done, 1 + self.total))

    def write_plans(self, plans: Sequence[Plan], new_folders: Sequence[str] = ()) -> None:
        """Records the plans for the next images. Returns when they are on the disk.

        Args:
            plans: The plans.
            new_folders: Subfolders of the target folder that do not exist yet.

        Raises:
            UnwritableError: If the journal cannot be written.
        """
        lines = [dataclasses.astuple(plan) for plan in plans]
        self._append({"plan": lines, "folders": list(new_folders)})
        self.created_folders += new_folders
        self._file.sync()
        self.pending = list(plans)

    def write_done(self, failures: Mapping[int, str]) -> None:
        """Records that the pending plans are done.

        Args:
            failures: Reason for each image that was not transferred, by its index in `pending`.

        Raises:
            UnwritableError: If the journal cannot be written.
        """
        self._append({"done": failures})
        self.num_done += len(self.pending)
        self.pending = []

    def write_undo(self) -> None:
        """Records that an undo begins, so that the run cannot be continued.

        Raises:
            UnwritableError: If the journal cannot be written.
        """
        self._append({"undone": True})
        self._file.sync()
        self.is_being_undone = True

    def outcomes(self) -> Iterator[Plan]:
        """Yields what became of each image that is done. Holds one batch in memory at a time."""
        plans: list[Plan] = []
        for line in self._file.lines(2 + self.total):
            fields = json.loads(line)
            if "plan" in fields:
                plans = _parse_plans(fields)
            elif "done" in fields:
                yield from _with_failures(plans, fields["done"])

    def remove(self) -> None:
        """Removes the file."""
        self._file.remove()

    def _reset(self) -> None:
        self.settings = None
        self.labels = ()
        self.total = self.num_done = 0
        self.pending = []
        self.run_key, self.created_folders = None, []
        self.is_being_undone = False
        self._has_all_names = False

    def _read(self) -> None:
        """Reads the state of the run, and removes an incomplete last line."""
        size = 0
        try:
            for number, line in enumerate(self._file.lines()):
                if number == 0 and not _can_be_first_line(line):
                    raise ValueError(f"unexpected first line: {line!r}")
                if not line.endswith(b"\n"):
                    break
                self._apply(number, json.loads(line))
                size += len(line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{self.path} is not a journal of this version of guess_dir, or is damaged; "
                "move it elsewhere"
            ) from error
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {error.strerror}") from error
        if not self._has_all_names:
            self._reset()
        self._file.truncate(size)

    def _apply(self, number: int, line: Any) -> None:
        if number == 0:
            if line["guess_dir_journal"] != _VERSION:
                raise ValueError(f"unknown version: {line['guess_dir_journal']}")
            self.settings = journal_fields.parse_settings(line["run"])
            self.labels = journal_fields.parse_labels(line["labels"])
            self.run_key = journal_fields.parse_hexadecimal(line.get("key"))
            self.created_folders = journal_fields.parse_folders(line.get("folders", []))
        elif isinstance(line, str):
            image_names.check_name(line)
            if self._has_all_names:
                raise ValueError("a name after the other names")
            self.total += 1
        elif "pictures" in line:
            if line["pictures"] != self.total:
                raise ValueError(f"{self.total} names, not {line['pictures']}")
            self._has_all_names = True
        elif "plan" in line:
            self.pending = _parse_plans(line)
            self.created_folders += journal_fields.parse_folders(line.get("folders", []))
        elif "done" in line:
            journal_fields.parse_failures(line["done"])
            self.num_done += len(self.pending)
            self.pending = []
        else:
            self.is_being_undone = line["undone"] is True

    def _append(self, *lines: Any) -> None:
        self._file.append("".join(f"{json.dumps(line)}\n" for line in lines).encode())


def _can_be_first_line(line: bytes) -> bool:
    return line.startswith(_FIRST_BYTES) or _FIRST_BYTES.startswith(line)


def _parse_plans(line: Mapping[str, Any]) -> list[Plan]:
    return [journal_fields.parse_plan(fields) for fields in line["plan"]]


def _with_failures(plans: Sequence[Plan], failures: Mapping[str, str]) -> Iterator[Plan]:
    for index, plan in enumerate(plans):
        reason = failures.get(str(index))
        yield dataclasses.replace(plan, target=None, error=reason) if reason else plan

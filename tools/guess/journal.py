"""The journal of a run that files images: what is to be done, and what is done.

It is a text that only grows, of JSON lines: a head, the name of each image, their number, and
then, for one batch of images after the other, where they are going to be filed and that they
are. Whoever finds a plan that is not done does it again, which `filing.finish_all` makes harmless.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from retrain.errors import UserError
from retrain.system import locks
from retrain.system.batches import batches
from tools.guess.filing import sync_folder
from tools.guess.placing import FullError

NAME = ".guess_dir.journal"

_VERSION = 1
# Of the first line.
_BEGINNING = b'{"guess_dir_journal"'
_NAMES_AT_A_TIME = 1000


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to become of an image.

    Attributes:
        image: its path, relative to the folder of the images.
        target: where it is to be, relative to the other folder; None where it is left alone.
        label: its class.
        score: of the class, 0 to 1.
        error: why it is left alone.
        scores: of all labels in their order, where they were asked for.
    """

    image: str
    target: str | None = None
    label: str | None = None
    score: float | None = None
    error: str | None = None
    scores: Sequence[float] = ()


def is_one(path: Path) -> bool:
    """Tells whether a file begins as a journal does, or is one by name whose writer got no further.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        beginning = file.read(len(_BEGINNING))
    return beginning == _BEGINNING or (path.name == NAME and _may_be_first(beginning))


class Journal:
    """A journal, which no other program may write until it is closed. A context manager.

    Attributes:
        path: of the file.
        run: how the images are filed; None where there is no such journal yet.
        labels: of the classes.
        total: how many images there are.
        position: how many of them are done.
        pending: the plans that were begun and are perhaps not done.
        is_being_undone: whether somebody began to put the images back.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes an empty one.

        Raises:
            UserError: it is in use, cannot be written, or is something else.
        """
        self.path = path
        self.run: dict[str, Any] | None = None
        self.labels: tuple[str, ...] = ()
        self.total = self.position = 0
        self.pending: list[Plan] = []
        self.is_being_undone = False
        self._has_all_names = False
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from error
        try:
            self._lock()
            self._read()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def begin(self, run: Mapping[str, Any], labels: Sequence[str], images: Iterable[str]) -> None:
        """Writes the first part, over all that was there.

        Raises:
            FullError: there is no room.
        """
        self._forget()
        os.ftruncate(self._descriptor, 0)
        self.run, self.labels = dict(run), tuple(labels)
        self._append({"guess_dir_journal": _VERSION, "run": self.run, "labels": self.labels})
        for names in batches(images, _NAMES_AT_A_TIME):
            self._append(*names)
            self.total += len(names)
        self._append({"pictures": self.total})
        self._sync()
        sync_folder(self.path.parent)

    def names(self) -> Iterator[str]:
        """Yields the images that are not done."""
        with self.path.open("rb") as file:
            for line in islice(file, 1 + self.position, 1 + self.total):
                yield json.loads(line)

    def plan(self, plans: Sequence[Plan]) -> None:
        """Says what is to become of the next images; returns when that is on the disk.

        Raises:
            FullError: there is no room.
        """
        self._append({"plan": [dataclasses.astuple(plan) for plan in plans]})
        self._sync()
        self.pending = list(plans)

    def done(self, failed: Mapping[int, str]) -> None:
        """Says that what is pending is done, but for those whose numbers come with a reason.

        Raises:
            FullError: there is no room.
        """
        self._append({"done": failed})
        self.position += len(self.pending)
        self.pending = []

    def begin_undoing(self) -> None:
        """Says that the images are being put back, so that nobody goes on.

        Raises:
            FullError: there is no room.
        """
        self._append({"undone": True})
        self._sync()
        self.is_being_undone = True

    def outcomes(self) -> Iterator[Plan]:
        """Yields what became of each image that is done, one batch in memory at a time."""
        plans: list[Plan] = []
        with self.path.open("rb") as file:
            for line in islice(file, 2 + self.total, None):
                fields = json.loads(line)
                if "plan" in fields:
                    plans = _plans(fields)
                elif "done" in fields:
                    yield from _with_failures(plans, fields["done"])

    def remove(self) -> None:
        """Deletes the file."""
        self.path.unlink()
        sync_folder(self.path.parent)

    def _forget(self) -> None:
        self.run = None
        self.labels = ()
        self.total = self.position = 0
        self.pending = []
        self.is_being_undone = False

    def _lock(self) -> None:
        if not locks.try_lock(self._descriptor):
            raise UserError(
                f"another guess_dir files images into {self.path.parent}; wait until it has ended"
            )
        if os.fstat(self._descriptor).st_nlink == 0:
            raise UserError(f"another guess_dir ended in {self.path.parent} right now; start again")

    def _read(self) -> None:
        """Finds out how far it is, and cuts off a last line that is not whole."""
        whole = 0
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file):
                    if number == 0 and not _may_be_first(line):
                        raise ValueError("it begins otherwise")
                    if not line.endswith(b"\n"):
                        break
                    self._take(number, json.loads(line))
                    whole += len(line)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{self.path} is no journal of this guess_dir, or damaged; move it elsewhere"
            ) from error
        if not self._has_all_names:
            self._forget()
        os.ftruncate(self._descriptor, whole)

    def _take(self, number: int, line: Any) -> None:
        if number == 0:
            if line["guess_dir_journal"] != _VERSION:
                raise ValueError(f"it is of version {line['guess_dir_journal']}")
            self.run, self.labels = line["run"], tuple(line["labels"])
        elif isinstance(line, str):
            self.total += 1
        elif "pictures" in line:
            self._has_all_names = line["pictures"] == self.total
        elif "plan" in line:
            self.pending = _plans(line)
        elif "done" in line:
            self.position += len(self.pending)
            self.pending = []
        else:
            self.is_being_undone = line["undone"]

    def _append(self, *lines: Any) -> None:
        data = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):
                os.write(self._descriptor, data[written:])  # Fails, and says why.
        except OSError as error:
            raise FullError(f"{self.path} cannot be written: {error.strerror}") from error

    def _sync(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise FullError(f"{self.path} cannot be written: {error.strerror}") from error


def _may_be_first(line: bytes) -> bool:
    return line.startswith(_BEGINNING) or _BEGINNING.startswith(line)


def _plans(line: Mapping[str, Any]) -> list[Plan]:
    return [Plan(*fields) for fields in line["plan"]]


def _with_failures(plans: Sequence[Plan], failed: Mapping[str, str]) -> Iterator[Plan]:
    for number, plan in enumerate(plans):
        reason = failed.get(str(number))
        yield dataclasses.replace(plan, target=None, error=reason) if reason else plan

"""Pictures to bottlenecks: from the cache where they are known, else computed and cached."""

import hashlib
import json
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain import pixels
from retrain.backbones import engines
from retrain.backbones.spec import Backbone
from retrain.bottleneck_store import BottleneckStore, FileState, open_store
from retrain.errors import UserError
from retrain.images import Dataset, Picture
from retrain.progress import Progress
from retrain.runtime import parallel_map
from retrain.splits import TEST

# A picture as it is, not one of its distorted variants.
_UNDISTORTED = 0

# What a killed run loses at most.
_SECONDS_BETWEEN_WRITES = 1.0
_ROWS_AT_A_TIME = 1024
_NAMED_AT_MOST = 3
_FEW = 10


@dataclass(frozen=True)
class Bottlenecks:
    """The features of all pictures that can be read.

    Attributes:
        dataset: those pictures, split anew where others had to be left out.
        vectors: float32 [N, feature_width], in the order of `dataset.pictures`.
        computed: how many were computed now; the others were in the cache.
        unreadable: why each other picture could not be read.
    """

    dataset: Dataset
    vectors: np.ndarray
    computed: int
    unreadable: dict[Path, str]

    def part(self, split: str) -> "Part":
        """Returns one part: TRAINING, VALIDATION or TEST."""
        return self._rows([i for i, p in enumerate(self.dataset.pictures) if p.split == split])

    def any_pictures(self) -> "Part":
        """Returns a few pictures from all over the data, of the test part where there is one."""
        part = self.part(TEST)
        if not len(part.categories):
            part = self._rows(range(len(self.dataset.pictures)))
        return part.take(np.linspace(0, len(part.categories) - 1, _FEW).astype(int))

    def _rows(self, rows: Sequence[int]) -> "Part":
        pictures = tuple(self.dataset.pictures[i] for i in rows)
        categories = np.array([picture.category for picture in pictures], np.int64)
        return Part(pictures, self.vectors[np.array(rows, np.int64)], categories)


@dataclass(frozen=True)
class Part:
    """Some of the pictures.

    Attributes:
        pictures: N of them.
        vectors: float32 [N, feature_width].
        categories: int64 [N].
    """

    pictures: tuple[Picture, ...]
    vectors: np.ndarray
    categories: np.ndarray

    def take(self, rows: np.ndarray) -> "Part":
        """Returns the pictures with the numbers `rows`, int [M]."""
        pictures = tuple(self.pictures[row] for row in rows)
        return Part(pictures, self.vectors[rows], self.categories[rows])

    def sample(self, size: int, seed: int) -> "Part":
        """Returns `size` of the pictures, drawn at random; all for -1, or where there are fewer."""
        count = len(self.pictures)
        if size == -1 or size >= count:
            return self
        return self.take(np.sort(np.random.default_rng(seed).permutation(count)[:size]))


class _Answer(NamedTuple):
    """What became of one picture: a vector, one in the store already, or a problem."""

    row: int
    state: FileState | None
    digest: bytes
    vector: np.ndarray | None
    problem: str | None


def compute(
    dataset: Dataset, backbone: Backbone, engine: str, cache_dir: Path, strict: bool
) -> Bottlenecks:
    """Returns the bottlenecks of all pictures of `dataset`.

    Pictures are read, decoded and run through the network by a few threads, a batch at a time, and
    stored as they come: memory holds the vectors and little else.

    Args:
        dataset: the pictures.
        backbone: the network.
        engine: one of `engines.NAMES`.
        cache_dir: the folder of the cache.
        strict: whether a picture that cannot be read is an error.

    Raises:
        UserError: the cache cannot be used, the disk is full, or too few pictures can be read.
    """
    with open_store(cache_dir) as store:
        work = _Work(dataset, backbone, engine, store, strict)
        work.take_from_store()
        work.compute_missing()
    result = work.result()
    _warn_of_equal_pictures(result.dataset, [digest for digest in work.digests if digest])
    return result


class _Work:
    """The pictures of one run on their way to their vectors."""

    def __init__(
        self,
        dataset: Dataset,
        backbone: Backbone,
        engine: str,
        store: BottleneckStore,
        strict: bool,
    ) -> None:
        self._dataset = dataset
        self._paths = [picture.path for picture in dataset.pictures]
        self._backbone = backbone
        self._engine_name = engine
        self._store = store
        self._strict = strict
        self._recipe = _recipe(backbone)
        self._begun_ns = time.time_ns()
        self._vectors = np.empty((len(self._paths), backbone.feature_width), np.float32)
        self._ready = np.zeros(len(self._paths), bool)
        self._computed = 0
        self._unreadable: dict[Path, str] = {}
        self.digests: list[bytes | None] = []

    def take_from_store(self) -> None:
        """Fills in what is known of files that did not change."""
        states = [_state(path) for path in self._paths]
        known = iter(self._store.digests([state for state in states if state]))
        self.digests = [next(known) if state else None for state in states]
        self._take([row for row, digest in enumerate(self.digests) if digest])

    def _take(self, rows: Sequence[int]) -> None:
        # In pieces, so that the vectors are not held twice.
        for begin in range(0, len(rows), _ROWS_AT_A_TIME):
            piece = np.array(rows[begin : begin + _ROWS_AT_A_TIME])
            keys = [(self.digests[row] or b"", _UNDISTORTED) for row in piece]
            vectors, found = self._store.get_many(self._recipe, keys, self._backbone.feature_width)
            self._vectors[piece[found]] = vectors[found]
            self._ready[piece[found]] = True

    def compute_missing(self) -> None:
        """Computes the rest, and stores it."""
        missing = np.flatnonzero(~self._ready).tolist()
        if not missing:
            return
        answer_all, workers, batch_size = self._answerer()
        batches = [missing[i : i + batch_size] for i in range(0, len(missing), batch_size)]
        again: list[int] = []
        with Progress(len(missing), "Bottlenecks") as progress, _Writer(self) as writer:
            for answers in parallel_map(answer_all, batches, workers):
                for answer in answers:
                    if self._accept(answer):
                        writer.add(answer)
                        again += [answer.row] if answer.vector is None else []
                progress.add(len(answers))
        self._take(again)

    def _accept(self, answer: _Answer) -> bool:
        path = self._paths[answer.row]
        if answer.problem is not None:
            message = f"{path} cannot be read: {answer.problem}"
            if self._strict:
                raise UserError(f"{message}; mend or remove it, or leave --strict out")
            logging.warning("Skipped: %s.", message)
            self._unreadable[path] = answer.problem
            self.digests[answer.row] = None
            return False
        self.digests[answer.row] = answer.digest
        if answer.vector is not None:
            self._vectors[answer.row] = answer.vector
            self._ready[answer.row] = True
            self._computed += 1
        return True

    def _answerer(self) -> tuple[Callable[[list[int]], list[_Answer]], int, int]:
        engine = engines.load(self._engine_name, self._backbone)
        # A file that was copied or touched is not computed again.
        in_store = self._store.known(self._recipe, _UNDISTORTED, self._backbone.feature_width)
        height, width = self._backbone.height, self._backbone.width

        def answer_all(rows: list[int]) -> list[_Answer]:
            opened = [(row, *_open(self._paths[row], in_store, height, width)) for row in rows]
            pictures = [picture for *_, picture in opened if isinstance(picture, np.ndarray)]
            vectors = iter(engine.features(np.stack(pictures)) if pictures else ())
            return [
                _Answer(
                    row,
                    state,
                    digest,
                    vector=next(vectors) if isinstance(picture, np.ndarray) else None,
                    problem=picture if isinstance(picture, str) else None,
                )
                for row, state, digest, picture in opened
            ]

        return answer_all, engine.workers, engine.batch_size

    def store(self, answers: list[_Answer]) -> None:
        """Writes the vectors of `answers`, and which file has which picture."""
        self._store.put_many(
            self._recipe,
            [(a.digest, _UNDISTORTED, a.vector) for a in answers if a.vector is not None],
            [(a.state, a.digest) for a in answers if a.state and a.state.settled(self._begun_ns)],
        )

    def result(self) -> Bottlenecks:
        """Returns what was found, without the pictures that cannot be read."""
        if self._ready.sum() + len(self._unreadable) < len(self._paths):
            raise UserError(
                "the cache in --bottleneck_dir was emptied by another program meanwhile; run again"
            )
        if not self._unreadable:
            return Bottlenecks(self._dataset, self._vectors, self._computed, {})
        rest = self._dataset.without(self._unreadable)
        logging.warning(
            "Skipped %d of %d pictures, which cannot be read; they are named above.",
            len(self._unreadable),
            len(self._paths),
        )
        return Bottlenecks(rest, self._vectors[self._ready], self._computed, self._unreadable)


class _Writer:
    """Gathers answers and stores them every now and then, and when the block ends, however."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._waiting: list[_Answer] = []
        self._written = time.monotonic()

    def add(self, answer: _Answer) -> None:
        self._waiting.append(answer)
        if time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES:
            self._write()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._work.store(waiting)
        self._written = time.monotonic()

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._write()


def _recipe(backbone: Backbone) -> str:
    """Returns the text that two features share if, and only if, they may stand for one another."""
    return json.dumps(
        {
            "backbone": backbone.fingerprint,
            "precision": "float32",
            "preprocessing": pixels.PREPROCESSING_VERSION,
        },
        sort_keys=True,
    )


def _state(path: Path) -> FileState | None:
    try:
        return FileState.from_stat(path.stat())
    except OSError:
        return None


def _open(
    path: Path, in_store: set[bytes], height: int, width: int
) -> tuple[FileState | None, bytes, np.ndarray | str | None]:
    """Returns a file's state and digest, and its pixels, None for known ones, or a problem."""
    try:
        with path.open("rb") as file:
            state = FileState.from_stat(os.fstat(file.fileno()))
            data = file.read()
        digest = hashlib.sha256(data).digest()
        if digest in in_store:
            return state, digest, None
        return state, digest, pixels.decode(data, height, width)
    except OSError as error:
        return None, b"", error.strerror or str(error)
    except pixels.UnreadablePictureError as error:
        return None, b"", str(error)


def _warn_of_equal_pictures(dataset: Dataset, digests: Sequence[bytes]) -> None:
    """Tells of pictures that contradict one another, and of those that make the test too easy."""
    rows_of: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        rows_of[digest].append(row)
    groups = [[dataset.pictures[row] for row in rows] for rows in rows_of.values() if len(rows) > 1]
    _warn_of_groups(
        "The same picture is in two categories: %s. One of them is wrong.",
        [group for group in groups if len({picture.category for picture in group}) > 1],
    )
    _warn_of_groups(
        "The same picture is in two parts, so that accuracies look better than they are: %s.",
        [group for group in groups if len({picture.split for picture in group}) > 1],
    )


def _warn_of_groups(message: str, groups: list[list[Picture]]) -> None:
    if groups:
        named = "; ".join(
            " = ".join(str(p.path) for p in group) for group in groups[:_NAMED_AT_MOST]
        )
        more = len(groups) - _NAMED_AT_MOST
        logging.warning(message, named + (f" and {more} more" if more > 0 else ""))

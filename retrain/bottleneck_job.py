"""Pictures of one part to bottlenecks: from the cache where they are known, else computed."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain import distortions, pixels
from retrain.backbones.engines import Engine
from retrain.backbones.spec import Backbone
from retrain.bottleneck_store import BottleneckStore, FileState
from retrain.config import DistortionOptions
from retrain.distortions import UNDISTORTED
from retrain.errors import UserError
from retrain.images import Picture
from retrain.progress import Progress
from retrain.runtime import parallel_map

# What a killed run loses at most.
_SECONDS_BETWEEN_WRITES = 1.0
_PICTURES_AT_A_TIME = 1024


class _Answer(NamedTuple):
    """What became of one picture.

    Attributes:
        row: its number.
        state: of its file.
        digest: SHA-256 of the file.
        numbers: of the variants that were computed; the others are in the store.
        vectors: float16 [len(numbers), feature_width].
        problem: why it cannot be read.
    """

    row: int
    state: FileState | None
    digest: bytes
    numbers: list[int]
    vectors: np.ndarray
    problem: str | None = None


class Job:
    """The pictures of one part, on their way to their vectors.

    Attributes:
        pictures: N of them.
        vectors: float16 [N, variants, feature_width]; what they are, after `run`.
        computed: how many vectors `run` computed.
        unreadable: why others could not be.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        backbone: Backbone,
        engine: Engine,
        store: BottleneckStore,
        options: DistortionOptions,
    ) -> None:
        self.pictures = pictures
        self.computed = 0
        self.unreadable: dict[Path, str] = {}
        self._backbone = backbone
        self._engine = engine
        self._store = store
        self._options = options
        self._begun_ns = time.time_ns()
        self._variants = 1 + options.cached
        self._recipes = [_recipe(engine), *[_distorted(engine, options)] * options.cached]
        shape = (len(pictures), self._variants, backbone.feature_width)
        self.vectors = np.empty(shape, np.float16)
        self._ready = np.zeros(shape[:2], bool)
        self._digests: list[bytes | None] = []

    def run(self, strict: bool) -> None:
        """Fills in all vectors.

        Args:
            strict: whether a picture that cannot be read is an error.

        Raises:
            UserError: the cache fails, or a picture cannot be read.
        """
        states = [_state(picture.path) for picture in self.pictures]
        known = iter(self._store.digests([state for state in states if state]))
        self._digests = [next(known) if state else None for state in states]
        self._take([row for row, digest in enumerate(self._digests) if digest])
        missing = np.flatnonzero(~self._ready.all(axis=1)).tolist()
        if missing:
            self._compute(missing, strict)
        unready = int((~self._ready.all(axis=1)).sum())
        if unready > len(self.unreadable):
            raise UserError(
                "the cache in --bottleneck_dir was emptied by another program meanwhile; run again"
            )

    def pictures_and_digests(self) -> list[tuple[Picture, bytes]]:
        """Returns each picture with the SHA-256 of its file."""
        return [(p, d) for p, d in zip(self.pictures, self._digests, strict=True) if d]

    def _take(self, rows: Sequence[int]) -> None:
        """Reads what the store has."""
        # In pieces, so that the vectors are not held twice.
        for begin in range(0, len(rows), _PICTURES_AT_A_TIME):
            piece = np.array(rows[begin : begin + _PICTURES_AT_A_TIME])
            digests = [self._digests[row] or b"" for row in piece]
            for number in range(self._variants):
                vectors = np.empty((len(piece), self._backbone.feature_width), np.float16)
                keys = [(digest, number) for digest in digests]
                found = self._store.get_many(self._recipes[number], keys, vectors)
                self.vectors[piece[found], number] = vectors[found]
                self._ready[piece[found], number] = True

    def _compute(self, missing: list[int], strict: bool) -> None:
        """Computes the rest, and stores it."""
        runner = self._engine.load()
        size = max(1, runner.batch_size // self._variants)
        batches = [missing[i : i + size] for i in range(0, len(missing), size)]
        again: list[int] = []
        total = int((~self._ready[missing]).sum())
        with Progress(total, "Bottlenecks") as progress, _Writer(self) as writer:
            answers_all = self._answerer(runner.features)
            for answers in parallel_map(answers_all, batches, runner.workers):
                for answer in answers:
                    progress.add(int((~self._ready[answer.row]).sum()))
                    if self._accept(answer, strict):
                        writer.add(answer)
                        again += [] if self._ready[answer.row].all() else [answer.row]
        self._take(again)

    def _answerer(
        self, features: Callable[[np.ndarray], np.ndarray]
    ) -> Callable[[list[int]], list[_Answer]]:
        in_store = self._known()

        def answer_all(rows: list[int]) -> list[_Answer]:
            opened = [self._open(row, in_store) for row in rows]
            pictures = [picture for _, variants in opened for picture in variants]
            vectors = np.empty((0, self._backbone.feature_width), np.float16)
            if pictures:
                vectors = features(np.stack(pictures)).astype(np.float16)
            ends = np.cumsum([len(variants) for _, variants in opened])
            return [
                answer._replace(vectors=vectors[end - len(variants) : end])
                for (answer, variants), end in zip(opened, ends, strict=True)
            ]

        return answer_all

    def _known(self) -> dict[bytes, set[int]]:
        """Returns the variants that need not be computed, though their file is a new one."""
        known: dict[bytes, set[int]] = {}
        for recipe in set(self._recipes):
            for digest, numbers in self._store.known(recipe, self._backbone.feature_width).items():
                known.setdefault(digest, set()).update(numbers)
        return known

    def _open(self, row: int, in_store: dict[bytes, set[int]]) -> tuple[_Answer, list[np.ndarray]]:
        """Returns what is known of a picture, and the pixels of the variants that are not."""
        nothing = np.empty(0)
        try:
            with self.pictures[row].path.open("rb") as file:
                state = FileState.from_stat(os.fstat(file.fileno()))
                data = file.read()
            digest = hashlib.sha256(data).digest()
            known = in_store.get(digest, set())
            numbers = [number for number in range(self._variants) if number not in known]
            size = (self._backbone.height, self._backbone.width)
            pictures = list(distortions.variants(data, digest, numbers, *size, self._options))
            return _Answer(row, state, digest, numbers, nothing), pictures
        except OSError as error:
            problem = error.strerror or str(error)
        except pixels.UnreadablePictureError as error:
            problem = str(error)
        return _Answer(row, None, b"", [], nothing, problem), []

    def _accept(self, answer: _Answer, strict: bool) -> bool:
        """Returns whether the picture could be read."""
        path = self.pictures[answer.row].path
        if answer.problem is not None:
            message = f"{path} cannot be read: {answer.problem}"
            if strict:
                raise UserError(f"{message}; mend or remove it, or leave --strict out")
            logging.warning("Skipped: %s.", message)
            self.unreadable[path] = answer.problem
            self._digests[answer.row] = None
            return False
        if self._digests[answer.row] not in (None, answer.digest):
            # The file was written anew since the run began: what was read for it is of the old one.
            self._ready[answer.row] = False
        self._digests[answer.row] = answer.digest
        self.vectors[answer.row, answer.numbers] = answer.vectors
        self._ready[answer.row, answer.numbers] = True
        self.computed += len(answer.numbers)
        return True

    def store(self, answers: list[_Answer]) -> None:
        """Writes the vectors of `answers`, and which file has which picture."""
        rows: dict[str, list[tuple[bytes, int, np.ndarray]]] = {self._recipes[UNDISTORTED]: []}
        for answer in answers:
            for number, vector in zip(answer.numbers, answer.vectors, strict=True):
                rows.setdefault(self._recipes[number], []).append((answer.digest, number, vector))
        files = [(a.state, a.digest) for a in answers if a.state]
        settled = [(state, digest) for state, digest in files if state.settled(self._begun_ns)]
        for recipe, vectors in rows.items():
            self._store.put_many(recipe, vectors)
        self._store.remember(settled)


class _Writer:
    """Gathers answers and stores them every now and then, and when the block ends, however."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._waiting: list[_Answer] = []
        self._written = time.monotonic()

    def add(self, answer: _Answer) -> None:
        self._waiting.append(answer)
        if time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES:
            self._write()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._job.store(waiting)
        self._written = time.monotonic()

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._write()


def _recipe(engine: Engine, **more: object) -> str:
    """Returns the text that two features share if, and only if, they may stand for one another."""
    content = {**engine.recipe, "preprocessing": pixels.PREPROCESSING_VERSION, **more}
    return json.dumps(content, sort_keys=True)


def _distorted(engine: Engine, options: DistortionOptions) -> str:
    return _recipe(
        engine,
        random_crop=float(options.random_crop),
        random_scale=float(options.random_scale),
        random_brightness=float(options.random_brightness),
        flip_left_right=options.flip_left_right,
        seed=options.seed,
    )


def _state(path: Path) -> FileState | None:
    try:
        return FileState.from_stat(path.stat())
    except OSError:
        return None

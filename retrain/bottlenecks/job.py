"""Images of one part to bottlenecks: from the cache where they are known, else computed."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.backbones.engines import Engine, Runner
from retrain.bottlenecks.store import BottleneckStore, FileState
from retrain.config import DistortionOptions
from retrain.data import distortions, pixels
from retrain.data.dataset import ImageFile
from retrain.data.distortions import UNDISTORTED
from retrain.errors import UserError
from retrain.system.batches import batches
from retrain.system.progress import ProgressBar
from retrain.system.threads import parallel_map

# What a killed run loses at most.
_SECONDS_BETWEEN_WRITES = 1.0
_IMAGES_AT_A_TIME = 1024


class _Answer(NamedTuple):
    """What became of one image.

    Attributes:
        row: its number.
        state: of its file.
        digest: SHA-256 of the file.
        numbers: of the variants that were computed; the others are in the store, or lost with
            what could not be read.
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
    """The images of one part, on their way to their vectors.

    Attributes:
        images: N of them.
        vectors: float16 [N, variants, feature_width]; what they are, after `run`.
        unreadable: why others could not be.
    """

    def __init__(
        self,
        images: Sequence[ImageFile],
        backbone: Backbone,
        engine: Engine,
        store: BottleneckStore,
        options: DistortionOptions,
    ) -> None:
        self.images = images
        self.unreadable: dict[Path, str] = {}
        self._backbone = backbone
        self._engine = engine
        self._store = store
        self._options = options
        self._begun_ns = time.time_ns()
        self._variants = 1 + options.cached
        self._undistorted, self._distorted = _recipe(engine), _distorted(engine, options)
        shape = (len(images), self._variants, backbone.feature_width)
        self.vectors = np.empty(shape, np.float16)
        self._ready = np.zeros(shape[:2], bool)
        self._made = np.zeros(shape[:2], bool)
        self._digests: list[bytes | None] = []

    def run(self, strict: bool) -> None:
        """Fills in all vectors.

        Args:
            strict: whether an image that cannot be read is an error.

        Raises:
            UserError: the cache fails, an image cannot be read, or the network gives numbers
                that float16 does not hold.
        """
        states = [_state(image.path) for image in self.images]
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

    def images_and_digests(self) -> list[tuple[ImageFile, bytes]]:
        """Returns each image with the SHA-256 of its file."""
        return [(p, d) for p, d in zip(self.images, self._digests, strict=True) if d]

    @property
    def computed(self) -> int:
        """How many vectors `run` computed."""
        return int(self._made.sum())

    def made(self) -> Iterator[tuple[str, bytes, int]]:
        """Yields recipe, SHA-256 of the file and variant of what `run` computed."""
        return self._keys(self._made)

    def reused(self, made: Collection[tuple[str, bytes, int]]) -> int:
        """Returns how many of the vectors were in the cache, but those that other jobs `made`."""
        taken = self._ready & ~self._made
        if not made:
            return int(taken.sum())
        return sum(key not in made for key in self._keys(taken))

    def _keys(self, which: np.ndarray) -> Iterator[tuple[str, bytes, int]]:
        for row, number in np.argwhere(which).tolist():
            yield self._recipe_of(number), self._digests[row] or b"", number

    def _recipe_of(self, number: int) -> str:
        return self._undistorted if number == UNDISTORTED else self._distorted

    def _take(self, rows: Sequence[int]) -> None:
        """Reads what the store has."""
        # In pieces, so that the vectors are not held twice.
        for begin in range(0, len(rows), _IMAGES_AT_A_TIME):
            piece = np.array(rows[begin : begin + _IMAGES_AT_A_TIME])
            digests = [self._digests[row] or b"" for row in piece]
            for number in range(self._variants):
                vectors = np.empty((len(piece), self._backbone.feature_width), np.float16)
                keys = [(digest, number) for digest in digests]
                found = self._store.get_many(self._recipe_of(number), keys, vectors)
                self.vectors[piece[found], number] = vectors[found]
                self._ready[piece[found], number] = True

    def _compute(self, missing: list[int], strict: bool) -> None:
        """Computes the rest, and stores it."""
        runner = self._engine.load()
        size = max(1, runner.batch_size // self._variants)
        again: list[int] = []
        total = int((~self._ready[missing]).sum())
        with ProgressBar(total, "Bottlenecks") as progress, _Writer(self) as writer:
            answer_all = self._answerer(runner)
            for answers in parallel_map(answer_all, batches(missing, size), runner.workers):
                for answer in answers:
                    progress.add(int((~self._ready[answer.row]).sum()))
                    if self._accept(answer, strict):
                        writer.add(answer)
                        again += [] if self._ready[answer.row].all() else [answer.row]
        self._take(again)

    def _answerer(self, runner: Runner) -> Callable[[list[int]], list[_Answer]]:
        in_store = self._known()

        def answer_all(rows: list[int]) -> list[_Answer]:
            answers: list[_Answer] = []
            # However many variants there are, no more are held than the network takes at a time.
            images = self._opened(rows, in_store, answers)
            parts = [self._run(runner, batch) for batch in batches(images, runner.batch_size)]
            nothing = np.empty((0, self._backbone.feature_width), np.float16)
            vectors = np.concatenate([nothing, *parts])
            ends = np.cumsum([len(answer.numbers) for answer in answers])
            return [
                answer._replace(vectors=vectors[end - len(answer.numbers) : end])
                for answer, end in zip(answers, ends, strict=True)
            ]

        return answer_all

    def _run(self, runner: Runner, images: list[np.ndarray]) -> np.ndarray:
        """Returns float16 [N, feature_width]."""
        # What is too large becomes infinite, and an error.
        with np.errstate(over="ignore"):
            vectors = runner.features(np.stack(images)).astype(np.float16)
        if not np.isfinite(vectors).all():
            raise UserError(
                f"{self._backbone.name} gives bottlenecks with numbers that are not finite in 16 "
                f"bits, which cannot be learned from; choose another network, or check what "
                "--input_mean, --input_std and --bottleneck_layer say of this one"
            )
        return vectors

    def _known(self) -> dict[bytes, int]:
        """Returns the variants that need not be computed, though their file is a new one.

        They are the bits of a number: images may be millions, with many variants each.
        """
        known = self._store.known(self._undistorted, self._backbone.feature_width)
        if self._variants > 1:
            distorted = self._store.known(self._distorted, self._backbone.feature_width)
            for digest, numbers in distorted.items():
                known[digest] = known.get(digest, 0) | numbers
        return known

    def _opened(
        self, rows: list[int], in_store: dict[bytes, int], answers: list[_Answer]
    ) -> Iterator[np.ndarray]:
        """Yields the pixels of all variants that are not in the store.

        Args:
            rows: of the images.
            in_store: from `_known`.
            answers: what is known of each image is added when its last variant was taken.
        """
        for row in rows:
            numbers: list[int] = []
            state, digest, problem = None, b"", None
            try:
                with self.images[row].path.open("rb") as file:
                    state = FileState.from_stat(os.fstat(file.fileno()))
                    data = file.read()
                digest = hashlib.sha256(data).digest()
                known = in_store.get(digest, 0)
                missing = [n for n in range(self._variants) if not known >> n & 1]
                size = (self._backbone.height, self._backbone.width)
                variants = distortions.variants(data, digest, missing, *size, self._options)
                for number, image in zip(missing, variants, strict=True):
                    numbers.append(number)
                    yield image
            except OSError as error:
                problem = error.strerror or str(error)
            except pixels.UnreadableImageError as error:
                problem = str(error)
            answers.append(_Answer(row, state, digest, numbers, np.empty(0), problem))

    def _accept(self, answer: _Answer, strict: bool) -> bool:
        """Returns whether the image could be read."""
        path = self.images[answer.row].path
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
        self._made[answer.row, answer.numbers] = True
        return True

    def store(self, answers: list[_Answer]) -> None:
        """Writes the vectors of `answers`, and which file has which image."""
        rows: dict[str, list[tuple[bytes, int, np.ndarray]]] = {self._undistorted: []}
        for answer in answers:
            for number, vector in zip(answer.numbers, answer.vectors, strict=True):
                rows.setdefault(self._recipe_of(number), []).append((answer.digest, number, vector))
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

"""The features of all pictures of a run: computed or from the cache, part by part."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrain.backbones import engines
from retrain.backbones.engines import Engine
from retrain.backbones.spec import Backbone
from retrain.bottlenecks import int8_network
from retrain.bottlenecks.job import Job
from retrain.bottlenecks.store import open_store
from retrain.config import DistortionOptions
from retrain.data.dataset import Dataset, Picture
from retrain.data.splits import TEST, TRAINING, VALIDATION

NO_DISTORTIONS = DistortionOptions()

_NAMED_AT_MOST = 3


@dataclass(frozen=True)
class Part:
    """Some of the pictures.

    Attributes:
        pictures: N of them.
        variants: float16 [N, variants, feature_width]; the picture itself is the first variant.
        categories: int64 [N].
    """

    pictures: tuple[Picture, ...]
    variants: np.ndarray
    categories: np.ndarray

    @property
    def vectors(self) -> np.ndarray:
        """Float16 [N, feature_width], of the pictures as they are."""
        return self.variants[:, 0]

    def examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns all variants, float16 [N * variants, feature_width], and their categories."""
        count, variants, width = self.variants.shape
        return self.variants.reshape(count * variants, width), self.categories.repeat(variants)

    def take(self, rows: np.ndarray) -> "Part":
        """Returns the pictures with the numbers `rows`, int [M]."""
        pictures = tuple(self.pictures[row] for row in rows)
        return Part(pictures, self.variants[rows], self.categories[rows])

    def sample(self, size: int, seed: int) -> "Part":
        """Returns `size` of the pictures, drawn at random; all for -1, or where there are fewer."""
        count = len(self.pictures)
        if size == -1 or size >= count:
            return self
        return self.take(np.sort(np.random.default_rng(seed).permutation(count)[:size]))


@dataclass(frozen=True)
class Bottlenecks:
    """The features of all pictures that can be read.

    Attributes:
        dataset: those pictures, split anew where others had to be left out.
        engine: name of what computed them.
        parts: TRAINING, VALIDATION and TEST.
        computed: how many vectors were computed now, also those that turned out to be of no use
            when other pictures could not be read.
        unreadable: why each other picture could not be read.
        reused: how many of the vectors were in the cache before.
        int8_network: as a TFLite file, where it computed them.
    """

    dataset: Dataset
    engine: str
    parts: Mapping[str, Part]
    computed: int
    unreadable: Mapping[Path, str]
    reused: int = 0
    int8_network: bytes | None = None

    def part(self, split: str) -> Part:
        """Returns one part: TRAINING, VALIDATION or TEST."""
        return self.parts[split]

    def summary(self) -> str:
        """Returns a line that says where the bottlenecks came from."""
        by = f" by {self.engine}" if self.computed else ""
        return f"Bottlenecks: {self.computed:,} computed{by}, {self.reused:,} from the cache."


def compute_bottlenecks(
    dataset: Dataset,
    backbone: Backbone,
    engine: str,
    cache_dir: Path,
    strict: bool = False,
    distortions: DistortionOptions = NO_DISTORTIONS,
    told: bool = False,
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
        distortions: how training pictures are varied. Others never are.
        told: whether the user knows already which pictures are odd.

    Raises:
        UserError: the cache cannot be used, the disk is full, or too few pictures can be read, or
            the engine cannot be used.
    """
    name = engines.chosen(engine)
    network = None
    if name == engines.INT8:
        network = int8_network.for_pictures(dataset, backbone, cache_dir)
    fastest = exact = engines.engine(name, backbone, network)
    if engines.exact(name) != name:
        exact = engines.engine(engines.exact(name), backbone)
    unreadable: dict[Path, str] = {}
    made: set[tuple[str, bytes, int]] = set()
    computed = 0
    with fastest, exact:
        while True:
            jobs = _run_jobs(dataset, backbone, (exact, fastest), cache_dir, strict, distortions)
            computed += sum(job.computed for job in jobs)
            skipped = {path: why for job in jobs for path, why in job.unreadable.items()}
            if not skipped:
                break
            made.update(*(job.made() for job in jobs))
            # Their vectors may take as much memory as all else, and so will the next ones.
            del jobs
            unreadable |= skipped
            logging.warning(
                "Skipped %d of %d pictures, which cannot be read; they are named above.",
                len(skipped),
                len(dataset.pictures),
            )
            # It may move pictures into other parts, whose vectors are others.
            dataset = dataset.without(skipped)
    if not told:
        _warn_of_equal_pictures([pair for job in jobs for pair in job.pictures_and_digests()])
    parts = {
        split: Part(tuple(job.pictures), job.vectors, _categories(job.pictures))
        for split, job in zip((VALIDATION, TEST, TRAINING), jobs, strict=True)
    }
    reused = sum(job.reused(made) for job in jobs)
    return Bottlenecks(dataset, name, parts, computed, unreadable, reused, network)


def _run_jobs(
    dataset: Dataset,
    backbone: Backbone,
    exact_and_fastest: tuple[Engine, Engine],
    cache_dir: Path,
    strict: bool,
    distortions: DistortionOptions,
) -> tuple[Job, Job, Job]:
    """Returns the jobs of VALIDATION, TEST and TRAINING, done."""
    exact, fastest = exact_and_fastest
    undistorted = DistortionOptions(seed=distortions.seed)
    with open_store(cache_dir) as store:
        # Held-out pictures come first: their engine is loaded already while another one still
        # loads.
        jobs = (
            Job(dataset.split(VALIDATION), backbone, exact, store, undistorted),
            Job(dataset.split(TEST), backbone, exact, store, undistorted),
            Job(dataset.split(TRAINING), backbone, fastest, store, distortions),
        )
        for job in jobs:
            job.run(strict)
    return jobs


def _categories(pictures: Sequence[Picture]) -> np.ndarray:
    return np.array([picture.category for picture in pictures], np.int64)


def _warn_of_equal_pictures(pictures: Sequence[tuple[Picture, bytes]]) -> None:
    """Tells of pictures that contradict one another, and of those that make the test too easy."""
    pictures_of: dict[bytes, list[Picture]] = defaultdict(list)
    for picture, digest in pictures:
        pictures_of[digest].append(picture)
    groups = [group for group in pictures_of.values() if len(group) > 1]
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

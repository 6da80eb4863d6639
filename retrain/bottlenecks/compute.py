"""The features of all images of a run: computed or from the cache, part by part."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrain.backbones import engines
from retrain.backbones.backbone import Backbone
from retrain.backbones.engines import Engine
from retrain.bottlenecks import int8_network
from retrain.bottlenecks.job import Job
from retrain.bottlenecks.store import open_store
from retrain.config import DistortionOptions
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.system.text import name_some

NO_DISTORTIONS = DistortionOptions()

_NAMED_AT_MOST = 3


@dataclass(frozen=True)
class Part:
    """Some of the images.

    Attributes:
        images: N of them.
        variants: float16 [N, variants, feature_width]; the image itself is the first variant.
        class_ids: int64 [N].
    """

    images: tuple[ImageFile, ...]
    variants: np.ndarray
    class_ids: np.ndarray

    @property
    def vectors(self) -> np.ndarray:
        """Float16 [N, feature_width], of the images as they are."""
        return self.variants[:, 0]

    def examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns all variants, float16 [N * variants, feature_width], and their classes."""
        count, variants, width = self.variants.shape
        return self.variants.reshape(count * variants, width), self.class_ids.repeat(variants)

    def take(self, rows: np.ndarray) -> "Part":
        """Returns the images with the numbers `rows`, int [M]."""
        images = tuple(self.images[row] for row in rows)
        return Part(images, self.variants[rows], self.class_ids[rows])

    def sample(self, size: int, seed: int) -> "Part":
        """Returns `size` of the images, drawn at random; all for -1, or where there are fewer."""
        count = len(self.images)
        if size == -1 or size >= count:
            return self
        return self.take(np.sort(np.random.default_rng(seed).permutation(count)[:size]))


@dataclass(frozen=True)
class Bottlenecks:
    """The features of all images that can be read.

    Attributes:
        dataset: those images, split anew where others had to be left out.
        engine: name of what computed them.
        parts: TRAINING, VALIDATION and TEST.
        computed: how many vectors were computed now, also those that turned out to be of no use
            when other images could not be read.
        unreadable: why each other image could not be read.
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
    """Returns the bottlenecks of all images of `dataset`.

    Images are read, decoded and run through the network by a few threads, a batch at a time, and
    stored as they come: memory holds the vectors and little else.

    Args:
        dataset: the images.
        backbone: the network.
        engine: one of `engines.NAMES`.
        cache_dir: the folder of the cache.
        strict: whether an image that cannot be read is an error.
        distortions: how training images are varied. Others never are.
        told: whether the user knows already which images are odd.

    Raises:
        UserError: the cache cannot be used, the disk is full, or too few images can be read, or
            the engine cannot be used.
    """
    name = engines.chosen(engine)
    network = None
    if name == engines.INT8:
        network = int8_network.for_images(dataset, backbone, cache_dir)
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
                "Skipped %d of %d images, which cannot be read; they are named above.",
                len(skipped),
                len(dataset.images),
            )
            # It may move images into other parts, whose vectors are others.
            dataset = dataset.without(skipped)
    if not told:
        _warn_of_equal_images([pair for job in jobs for pair in job.images_and_digests()])
    parts = {
        split: Part(tuple(job.images), job.vectors, _class_ids(job.images))
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
        # Held-out images come first: their engine is loaded already while another one still
        # loads.
        jobs = (
            Job(dataset.split(VALIDATION), backbone, exact, store, undistorted),
            Job(dataset.split(TEST), backbone, exact, store, undistorted),
            Job(dataset.split(TRAINING), backbone, fastest, store, distortions),
        )
        for job in jobs:
            job.run(strict)
    return jobs


def _class_ids(images: Sequence[ImageFile]) -> np.ndarray:
    return np.array([image.class_id for image in images], np.int64)


def _warn_of_equal_images(images: Sequence[tuple[ImageFile, bytes]]) -> None:
    """Tells of images that contradict one another, and of those that make the test too easy."""
    images_of: dict[bytes, list[ImageFile]] = defaultdict(list)
    for image, digest in images:
        images_of[digest].append(image)
    groups = [group for group in images_of.values() if len(group) > 1]
    _warn_of_groups(
        "The same image is in two classes: %s. One of them is wrong.",
        [group for group in groups if len({image.class_id for image in group}) > 1],
    )
    _warn_of_groups(
        "The same image is in two parts, so that accuracies look better than they are: %s.",
        [group for group in groups if len({image.split for image in group}) > 1],
    )


def _warn_of_groups(message: str, groups: list[list[ImageFile]]) -> None:
    if groups:
        equal_images = (" = ".join(str(image.path) for image in group) for group in groups)
        logging.warning(message, name_some(equal_images, most=_NAMED_AT_MOST, separator="; "))

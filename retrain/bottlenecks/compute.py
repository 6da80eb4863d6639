"""Gets the bottlenecks of all images of a data set, from the cache or the network."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from retrain.backbones import engines
from retrain.backbones.backbone import Backbone
from retrain.backbones.engines import Engine
from retrain.bottlenecks import int8_network, known_files
from retrain.bottlenecks.duplicates import warn_of_duplicates, warn_of_equal_vectors
from retrain.bottlenecks.split_vectors import compute_split
from retrain.bottlenecks.store import BottleneckStore, open_store
from retrain.bottlenecks.vector_table import Key, VectorTable
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.training_options import DistortionOptions

NO_DISTORTIONS = DistortionOptions()

# Returns the data set with groups of images that must be in one split. It receives the SHA-256 of
# the file of each image, and the cache.
GroupImages: TypeAlias = Callable[[Dataset, Mapping[Path, bytes], BottleneckStore], Dataset]


@dataclass(frozen=True)
class SplitFeatures:
    """The bottlenecks of the images in a split, or of some of them.

    Attributes:
        images: N images.
        variants: Bottlenecks of each image and its distorted variants, float16 [N, variants,
            feature_width]. Variant 0 is the image itself.
        class_ids: Class of each image, int64 [N].
    """

    images: tuple[ImageFile, ...]
    variants: np.ndarray
    class_ids: np.ndarray

    @property
    def vectors(self) -> np.ndarray:
        """Bottlenecks of the undistorted images, float16 [N, feature_width]."""
        return self.variants[:, 0]

    def examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the bottlenecks of all variants, with the class of each.

        Returns:
            float16 [N * variants, feature_width] and int64 [N * variants].
        """
        count, variants, width = self.variants.shape
        return self.variants.reshape(count * variants, width), self.class_ids.repeat(variants)

    def take(self, rows: np.ndarray) -> "SplitFeatures":
        """Returns the features of the images with the indices `rows`, int [M]."""
        images = tuple(self.images[row] for row in rows)
        return SplitFeatures(images, self.variants[rows], self.class_ids[rows])

    def sample(self, size: int, seed: int) -> "SplitFeatures":
        """Returns the features of `size` random images; of all if `size` is -1 or too large."""
        count = len(self.images)
        if size == -1 or size >= count:
            return self
        return self.take(np.sort(np.random.default_rng(seed).permutation(count)[:size]))


@dataclass(frozen=True)
class Bottlenecks:
    """The bottlenecks of all readable images of a data set.

    Attributes:
        dataset: Readable images, split again if there were unreadable ones.
        engine: Name of the engine that computed the bottlenecks.
        splits: Features of the splits TRAINING, VALIDATION and TEST.
        computed_count: Number of bottlenecks that were computed in this run. It includes those
            that became useless when unreadable images changed the splits.
        unreadable: Reason for each image that cannot be read.
        reused_count: Number of bottlenecks that were in the cache before this run.
        int8_network: Content of the TFLite file with the int8 backbone, if the engine is INT8.
        digests: SHA-256 of the file of each readable image.
    """

    dataset: Dataset
    engine: str
    splits: Mapping[str, SplitFeatures]
    computed_count: int
    unreadable: Mapping[Path, str]
    reused_count: int = 0
    int8_network: bytes | None = None
    digests: Mapping[Path, bytes] = field(default_factory=dict)

    def split(self, split: str) -> SplitFeatures:
        """Returns the features of a split: TRAINING, VALIDATION or TEST."""
        return self.splits[split]

    def summary(self) -> str:
        """Returns a line with the number of computed and of cached bottlenecks."""
        by = f" by {self.engine}" if self.computed_count else ""
        return (
            f"Bottlenecks: {self.computed_count:,} computed{by}, {self.reused_count:,} from the "
            "cache."
        )


def compute_bottlenecks(
    dataset: Dataset,
    backbone: Backbone,
    engine: str,
    cache_dir: Path,
    *,
    strict: bool = False,
    distortions: DistortionOptions = NO_DISTORTIONS,
    warn_duplicates: bool = True,
    group: GroupImages | None = None,
) -> Bottlenecks:
    """Computes the bottlenecks of all images, except those that are in the cache.

    Several threads read and decode batches of images and run the network. The bottlenecks are
    stored as they are computed. Memory holds all bottlenecks, but only a few images.

    Args:
        dataset: Images to compute bottlenecks of.
        backbone: Network that computes the bottlenecks.
        engine: Name of the engine that runs the network, one of `engines.NAMES`.
        cache_dir: Folder of the cache.
        strict: Whether an unreadable image is an error.
        distortions: Kinds, limits and number of the distortions of training images. Validation and
            test images are never distorted.
        warn_duplicates: Whether to warn of identical files in different classes or splits.
        group: Keeps images that resemble each other in one split. If this needs images that were
            never read, their undistorted bottlenecks are computed first. None for no groups.

    Raises:
        UserError: If the engine or the cache cannot be used, the disk is full, or too few images
            can be read.
    """
    name = engines.resolve(engine)
    network = None
    if name == engines.INT8:
        # Before the images are grouped, so that all runs measure the value ranges on the same ones.
        network = int8_network.load_or_quantise(dataset, backbone, cache_dir)
    grouped: Dataset | None = dataset
    if group:
        grouped = _group_known(dataset, cache_dir, group)
        dataset = grouped or dataset
    training_engine = evaluation_engine = engines.create(name, backbone, int8_network=network)
    evaluation_name = engines.for_evaluation(name)
    if evaluation_name != name:
        evaluation_engine = engines.create(evaluation_name, backbone)
    unreadable: dict[Path, str] = {}
    computed_before: set[Key] = set()
    computed_count = 0
    with training_engine, evaluation_engine:
        while True:
            # Variants are computed when it is certain which images are training images.
            options = distortions if grouped else DistortionOptions(seed=distortions.seed)
            tables = _compute_splits(
                dataset,
                backbone,
                cache_dir,
                training_engine=training_engine,
                evaluation_engine=evaluation_engine,
                strict=strict,
                distortions=options,
            )
            computed_count += sum(table.count_computed() for table in tables.values())
            skipped = {
                path: reason
                for table in tables.values()
                for path, reason in table.unreadable.items()
            }
            unreadable |= skipped
            if skipped:
                logging.warning(
                    "Skipped %d of %d images that cannot be read; see the warnings above.",
                    len(skipped),
                    len(dataset.images),
                )
            previous = dataset
            dataset = dataset.without(skipped) if skipped else dataset
            if group and not grouped:
                dataset = grouped = _group_computed(dataset, tables, cache_dir, group)
            # Images that moved to another split can need other bottlenecks.
            is_unchanged = _splits(dataset) == _splits(previous)
            if is_unchanged and options.cached == distortions.cached:
                break
            computed_before.update(*(table.computed_keys() for table in tables.values()))
            # Frees the vectors, which can take most of the memory, before the next ones are read.
            del tables
    images_and_digests = [pair for table in tables.values() for pair in table.images_and_digests()]
    warn_of_equal_vectors(table.vectors[:, 0] for table in tables.values())
    if warn_duplicates:
        warn_of_duplicates(images_and_digests)
    return Bottlenecks(
        dataset=dataset,
        engine=name,
        splits={
            # The images as they were grouped, maybe after the tables were filled.
            split: SplitFeatures(dataset.split(split), table.vectors, _class_ids(table.images))
            for split, table in tables.items()
        },
        computed_count=computed_count,
        unreadable=unreadable,
        reused_count=sum(table.count_reused(computed_before) for table in tables.values()),
        int8_network=network,
        digests={image.path: digest for image, digest in images_and_digests},
    )


def _compute_splits(
    dataset: Dataset,
    backbone: Backbone,
    cache_dir: Path,
    *,
    training_engine: Engine,
    evaluation_engine: Engine,
    strict: bool,
    distortions: DistortionOptions,
) -> dict[str, VectorTable]:
    undistorted = DistortionOptions(seed=distortions.seed)
    # Training images come last. Their engine can be TensorFlow, which is still loading in the
    # background when LiteRT is ready for the other images.
    plan = {
        VALIDATION: (evaluation_engine, undistorted),
        TEST: (evaluation_engine, undistorted),
        TRAINING: (training_engine, distortions),
    }
    with open_store(cache_dir) as store:
        tables = {
            split: compute_split(
                dataset.split(split), backbone, engine, store, distortions=options, strict=strict
            )
            for split, (engine, options) in plan.items()
        }
        if store.damaged_count:
            logging.warning(
                "Damaged bottlenecks in %s: %d. They have been computed again.",
                cache_dir,
                store.damaged_count,
            )
    return tables


def _group_known(dataset: Dataset, cache_dir: Path, group: GroupImages) -> Dataset | None:
    """Returns the grouped data set, or None if the cache does not know all images."""
    with open_store(cache_dir) as store:
        paths = [image.path for image in dataset.images]
        digests = known_files.get_digests(store, paths)
        known = {path: digest for path, digest in zip(paths, digests, strict=True) if digest}
        if len(known) < len(set(paths)):
            return None
        return group(dataset, known, store)


def _group_computed(
    dataset: Dataset, tables: Mapping[str, VectorTable], cache_dir: Path, group: GroupImages
) -> Dataset:
    """Returns the grouped data set, whose images are in the tables."""
    digests = {
        image.path: digest
        for table in tables.values()
        for image, digest in table.images_and_digests()
    }
    with open_store(cache_dir) as store:
        return group(dataset, digests, store)


def _splits(dataset: Dataset) -> list[str]:
    return [image.split for image in dataset.images]


def _class_ids(images: Sequence[ImageFile]) -> np.ndarray:
    return np.array([image.class_id for image in images], np.int64)

"""Fills a table of bottlenecks for each split of a data set."""

import logging
from collections.abc import Iterator
from pathlib import Path

from retrain.backbones.backbone import Backbone
from retrain.backbones.engines import Engine
from retrain.bottlenecks.missing_vectors import compute_missing
from retrain.bottlenecks.store import BottleneckStore
from retrain.bottlenecks.vector_table import Key, VectorTable
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.training_options import NO_DISTORTIONS, DistortionOptions


class SplitTables:
    """The bottlenecks of a data set whose splits can still change.

    Attributes:
        by_split: Table of each split.
        unreadable: Reason for each image that could not be read.
        computed_count: Number of bottlenecks that were computed.
    """

    def __init__(
        self,
        backbone: Backbone,
        store: BottleneckStore,
        *,
        training_engine: Engine,
        evaluation_engine: Engine,
        strict: bool,
    ) -> None:
        """Starts without tables.

        Args:
            backbone: Network that computes the bottlenecks.
            store: Cache.
            training_engine: Engine for training images.
            evaluation_engine: Engine for validation and test images.
            strict: Whether an unreadable image is an error.
        """
        self.by_split: dict[str, VectorTable] = {}
        self.unreadable: dict[Path, str] = {}
        self.computed_count = 0
        self._backbone = backbone
        self._store = store
        self._training_engine = training_engine
        self._evaluation_engine = evaluation_engine
        self._strict = strict
        # Keys of what was computed for tables that were replaced.
        self._computed_before: set[Key] = set()

    def fill(self, dataset: Dataset, distortions: DistortionOptions) -> Dataset:
        """Fills the tables with the bottlenecks of a data set, from the cache or the network.

        Args:
            dataset: Images, with their splits.
            distortions: Kinds, limits and number of the distortions of training images.

        Returns:
            The data set that the tables are of: without unreadable images, and split again if there
            are any.

        Raises:
            UserError: If the cache cannot be used, the network cannot run, an image cannot be read
                although `strict` is set, or too few images can be read.
        """
        # Images that moved to another split can need other bottlenecks.
        while not self._match(dataset, distortions):
            self._read_cache(dataset, distortions)
            compute_missing(
                self.by_split.values(), self._backbone, self._store, strict=self._strict
            )
            self.computed_count += sum(table.count_computed() for table in self.by_split.values())
            dataset = self._leave_out_unreadable(dataset)
        return dataset

    def images_and_digests(self) -> Iterator[tuple[ImageFile, bytes]]:
        """Yields each image with the SHA-256 of its file."""
        for table in self.by_split.values():
            yield from table.images_and_digests()

    def digests(self) -> dict[Path, bytes]:
        """Returns the SHA-256 of the file of each image."""
        return {image.path: digest for image, digest in self.images_and_digests()}

    def count_reused(self) -> int:
        """Returns the number of bottlenecks that were in the cache at the start."""
        return sum(table.count_reused(self._computed_before) for table in self.by_split.values())

    def _match(self, dataset: Dataset, distortions: DistortionOptions) -> bool:
        """Returns whether the tables are of these images, in these splits, with these variants."""
        if not self.by_split or self.by_split[TRAINING].distortions.cached != distortions.cached:
            return False
        return all(
            [image.path for image in table.images] == [image.path for image in dataset.split(split)]
            for split, table in self.by_split.items()
        )

    def _read_cache(self, dataset: Dataset, distortions: DistortionOptions) -> None:
        """Replaces the tables with new ones, which have what is in the cache."""
        self._computed_before.update(
            key for table in self.by_split.values() for key in table.computed_keys()
        )
        # Frees the vectors, which can take most of the memory, before the next ones are read.
        self.by_split.clear()
        # Training images come last, because their engine can be TensorFlow, which loads slowly.
        for split in (VALIDATION, TEST, TRAINING):
            is_training = split == TRAINING
            self.by_split[split] = VectorTable(
                dataset.split(split),
                self._training_engine if is_training else self._evaluation_engine,
                distortions if is_training else NO_DISTORTIONS,
                feature_width=self._backbone.feature_width,
                folder=self._store.folder,
            )
            self.by_split[split].read_known_files(self._store)

    def _leave_out_unreadable(self, dataset: Dataset) -> Dataset:
        skipped: dict[Path, str] = {}
        for table in self.by_split.values():
            skipped |= table.unreadable
        if not skipped:
            return dataset
        self.unreadable |= skipped
        logging.warning(
            "Skipped %d of %d images that cannot be read; see the warnings above.",
            len(skipped),
            len(dataset.images),
        )
        return dataset.without(skipped)

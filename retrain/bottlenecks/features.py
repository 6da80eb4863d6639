"""The bottlenecks of a data set: those of its splits, and how they were obtained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from retrain.data.dataset import Dataset, ImageFile


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

    @classmethod
    def of(cls, images: Sequence[ImageFile], variants: np.ndarray) -> "SplitFeatures":
        """Returns the features of images with these bottlenecks; see the attributes."""
        class_ids = np.array([image.class_id for image in images], np.int64)
        return cls(tuple(images), variants, class_ids)

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

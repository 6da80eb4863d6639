"""The features and classes that a head is fitted to."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from retrain.training.folds import rank_within_class


@dataclass(frozen=True)
class TrainingSet:
    """Features and classes of training images.

    Attributes:
        features: float16 or float32 [N, width]. The variants of an image are consecutive; the
            first of them is the undistorted image.
        class_ids: int [N], 0 to class_count - 1. Every class must occur.
        class_count: Number of classes.
        class_shares: Share of each class in the loss, float [class_count] with sum 1; equal
            shares if None.
        variants: Number of consecutive rows that come from one image and together count as one.
        stage_widths: Number of features of each earlier stage, after those of the last layer.
        groups: Number of each image's group, int [images]. No cross-validation divides a group.
            None if each image is a group of its own.
    """

    features: np.ndarray
    class_ids: np.ndarray
    class_count: int
    class_shares: np.ndarray | None = None
    variants: int = 1
    stage_widths: tuple[int, ...] = ()
    groups: np.ndarray | None = None

    @property
    def image_class_ids(self) -> np.ndarray:
        """Class of each image, int [images]."""
        return self.class_ids[:: self.variants]

    @property
    def undistorted_features(self) -> np.ndarray:
        """Features of the undistorted images, float16 or float32 [images, width]."""
        return self.features[:: self.variants]

    def select_images(self, images: np.ndarray) -> "TrainingSet":
        """Returns some of the images with all of their variants.

        Args:
            images: Indices of images, int [M], or a mask, bool [images].
        """
        numbers = np.arange(len(self.image_class_ids))[images]
        rows = (numbers[:, np.newaxis] * self.variants + np.arange(self.variants)).ravel()
        return dataclasses.replace(
            self,
            features=self.features[rows],
            class_ids=self.class_ids[rows],
            groups=None if self.groups is None else self.groups[images],
        )

    def sample(self, max_rows: int, *, seed: int) -> "TrainingSet":
        """Returns the training set, or a random subset of its images with images of every class.

        Args:
            max_rows: Maximum number of rows.
            seed: Random seed.
        """
        count = max(1, max_rows // self.variants)
        if len(self.image_class_ids) <= count:
            return self
        ranks = rank_within_class(self.image_class_ids, seed=seed)
        return self.select_images(np.sort(np.argsort(ranks, kind="stable")[:count]))

    def without_stages(self) -> "TrainingSet":
        """Returns the training set with the features of the last layer only."""
        width = self.features.shape[1] - sum(self.stage_widths)
        return dataclasses.replace(self, features=self.features[:, :width], stage_widths=())

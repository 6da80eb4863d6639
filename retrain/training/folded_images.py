"""Divides the images of --image_dir into the folds of a cross-validation."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.groups import number_groups
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.training.class_weights import compute_shares
from retrain.training.folds import ALWAYS_TRAINING, assign_folds
from retrain.training.training_set import TrainingSet
from retrain.training_options import HeadOptions


@dataclass(frozen=True)
class FoldedImages:
    """The images of a cross-validation.

    Attributes:
        dataset: Data set with the labels and folders of the classes.
        images: N images of --image_dir.
        training_set: Their features. Images without distorted variants have copies of their own
            features in place of them.
        folds: Fold that holds each image out, int64 [N]; ALWAYS_TRAINING for images that no fold
            can hold out, because all images of their class are in one group.
        fold_count: Number of folds.
    """

    dataset: Dataset
    images: tuple[ImageFile, ...]
    training_set: TrainingSet
    folds: np.ndarray
    fold_count: int

    @property
    def is_judged(self) -> np.ndarray:
        """Whether a fold holds out each image, bool [N]."""
        return self.folds != ALWAYS_TRAINING

    @property
    def variance_factor(self) -> float:
        """The factor by which the heads of the folds increase the variance of the accuracy.

        They differ by chance, and share most of their training images, so that they make the same
        mistakes. An interval for independent images contains the true accuracy too rarely
        (tests/benchmarks/README.md). The correction is that of Nadeau and Bengio, Inference for the
        Generalization Error, 2003, https://doi.org/10.1023/A:1024068626366. It multiplies the
        variance 1 / K of the mean over K folds by 1 + K * (held-out images) / (training images).
        """
        return 1 + self.fold_count / (self.fold_count - 1)

    def training_masks(self) -> Iterator[np.ndarray]:
        """Yields a mask of the images to train on, bool [N], for each fold that holds out any."""
        for fold in range(self.fold_count):
            is_training = self.folds != fold
            if not is_training.all():
                yield is_training

    def select(self, images: np.ndarray, options: HeadOptions) -> TrainingSet:
        """Returns the training set of some images, with the shares of its classes.

        Args:
            images: Indices of images, int [M], or a mask, bool [N].
            options: How much each class counts.
        """
        selected = self.training_set.select_images(images)
        shares = compute_shares(
            options.class_weights,
            self.dataset.labels,
            np.bincount(selected.image_class_ids, minlength=selected.class_count),
            folders=self.dataset.folders,
        )
        return dataclasses.replace(selected, class_shares=shares)


def check_fold_count(fold_count: int, images: Sequence[ImageFile]) -> None:
    """Raises UserError if there are more folds than images of --image_dir."""
    count = sum(image.percentage_hash is not None for image in images)
    if fold_count > count:
        raise UserError(
            f"--folds={fold_count} is more than the number of images, {count}; the usual number "
            "of folds is 5 or 10"
        )


def fold_images(
    features: Bottlenecks,
    fold_count: int,
    *,
    stage_widths: tuple[int, ...],
    seed: int,
    splits: Sequence[str] = (TRAINING, VALIDATION, TEST),
) -> FoldedImages:
    """Divides the images of --image_dir into folds, by class and without dividing groups.

    Args:
        features: Features of all splits.
        fold_count: Number of folds, at least 2.
        stage_widths: Number of features of each earlier stage.
        seed: Random seed of the folds.
        splits: The splits whose images take part.

    Raises:
        UserError: If there are fewer images than folds.
    """
    parts = [_of_image_dir(features.split(split)) for split in splits]
    images = tuple(image for part in parts for image in part.images)
    check_fold_count(fold_count, images)
    variants = max(part.variants.shape[1] for part in parts)
    class_ids = np.concatenate([part.class_ids for part in parts])
    groups = number_groups(images)
    return FoldedImages(
        features.dataset,
        images,
        TrainingSet(
            features=np.concatenate([_repeat_variants(part, variants) for part in parts]),
            class_ids=class_ids.repeat(variants),
            class_count=len(features.dataset.labels),
            variants=variants,
            stage_widths=stage_widths,
            groups=groups,
        ),
        assign_folds(class_ids, groups, fold_count, seed=seed),
        fold_count,
    )


def _of_image_dir(part: SplitFeatures) -> SplitFeatures:
    rows = [row for row, image in enumerate(part.images) if image.percentage_hash is not None]
    return part if len(rows) == len(part.images) else part.take(np.array(rows, np.int64))


def _repeat_variants(part: SplitFeatures, variants: int) -> np.ndarray:
    """Returns float16 [images * variants, width]."""
    count, present, width = part.variants.shape
    repeated = part.variants if present == variants else part.variants[:, :1].repeat(variants, 1)
    return repeated.reshape(count * variants, width)

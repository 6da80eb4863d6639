"""Estimates the accuracy of a run's classifier by nested cross-validation on cached features.

Every image is judged by a head that was trained without it, and without all images of its group.
All that a run chooses (features, strength, temperature) is chosen again in each fold, from the
images that the fold trains on.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from retrain.bottlenecks.compute import Bottlenecks, SplitFeatures
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.groups import number_groups
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.system.progress import ProgressBar
from retrain.training.class_weights import compute_shares
from retrain.training.evaluation import Evaluation, evaluate
from retrain.training.fold_head import fit_head
from retrain.training.folds import ALWAYS_TRAINING, assign_folds
from retrain.training.training_set import TrainingSet
from retrain.training_options import HeadOptions


@dataclass(frozen=True)
class FoldedImages:
    """The images of a cross-validation.

    Attributes:
        images: N images of --image_dir.
        training_set: Their features. Images without distorted variants have copies of their own
            features in place of them.
        folds: Fold that holds each image out, int64 [N]; ALWAYS_TRAINING for images that no fold
            can hold out, because all images of their class are in one group.
        fold_count: Number of folds.
    """

    images: tuple[ImageFile, ...]
    training_set: TrainingSet
    folds: np.ndarray
    fold_count: int

    def training_images(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yields each fold that holds out images, with a mask of the images to train on."""
        for fold in range(self.fold_count):
            held_out = self.folds == fold
            if held_out.any():
                yield fold, ~held_out


@dataclass(frozen=True)
class OutOfFold:
    """What heads say about images that they were not trained on.

    Attributes:
        images: N images.
        class_ids: Class of each image, int64 [N].
        probabilities: Output of the head that was trained without the image, float32 [N, classes].
        folds: Fold of each image, int64 [N].
        groups: Number of each image's group, int64 [N].
        fold_count: Number of folds.
        always_training: Images that no fold can hold out, because all images of their class are in
            one group.
        evaluation: Metrics of the predictions. Groups count as dependent images in the interval.
    """

    images: tuple[ImageFile, ...]
    class_ids: np.ndarray
    probabilities: np.ndarray
    folds: np.ndarray
    groups: np.ndarray
    fold_count: int
    always_training: tuple[ImageFile, ...]
    evaluation: Evaluation


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


def cross_validate(
    features: Bottlenecks,
    options: HeadOptions,
    fold_count: int,
    *,
    stage_widths: tuple[int, ...],
    splits: Sequence[str] = (TRAINING, VALIDATION, TEST),
) -> OutOfFold:
    """Judges each image of --image_dir by a head that was trained without its fold.

    Images in --validation_dir and --test_dir take no part: they can be of another kind.

    Args:
        features: Features of all splits, by a backbone that was not trained on these images.
        options: How to train the heads.
        fold_count: Number of folds, at least 2.
        stage_widths: Number of features of each earlier stage.
        splits: The splits whose images take part.

    Raises:
        UserError: If there are fewer images than folds, or gradient descent diverges.
    """
    folded = fold_images(
        features, fold_count, stage_widths=stage_widths, seed=options.seed, splits=splits
    )
    training_set, dataset = folded.training_set, features.dataset
    probabilities = np.zeros((len(folded.images), training_set.class_count), np.float32)
    with ProgressBar(len(folded.images), "Judged by folds") as progress:
        for _, is_training in folded.training_images():
            head = fit_head(select_images(training_set, is_training, dataset, options), options)
            held_out = training_set.undistorted_features[~is_training]
            probabilities[~is_training] = head.probabilities(held_out)
            progress.add(len(held_out))
    is_judged = folded.folds != ALWAYS_TRAINING
    rows = np.flatnonzero(is_judged)
    class_ids, groups = training_set.image_class_ids[rows], number_groups(folded.images)[rows]
    return OutOfFold(
        images=tuple(folded.images[row] for row in rows),
        class_ids=class_ids,
        probabilities=probabilities[rows],
        folds=folded.folds[rows],
        groups=groups,
        fold_count=fold_count,
        always_training=tuple(folded.images[row] for row in np.flatnonzero(~is_judged)),
        evaluation=evaluate(
            probabilities[rows],
            class_ids,
            groups=groups,
            variance_factor=_variance_factor(fold_count),
        ),
    )


def select_images(
    training_set: TrainingSet, images: np.ndarray, dataset: Dataset, options: HeadOptions
) -> TrainingSet:
    """Returns the training set of some images, with the shares of its classes.

    Args:
        training_set: Training set of all images.
        images: Indices of images, int [M], or a mask, bool [images].
        dataset: Labels and folders of the classes.
        options: How much each class counts.
    """
    selected = training_set.select_images(images)
    shares = compute_shares(
        options.class_weights,
        dataset.labels,
        np.bincount(selected.image_class_ids, minlength=selected.class_count),
        folders=dataset.folders,
    )
    return dataclasses.replace(selected, class_shares=shares)


def _variance_factor(fold_count: int) -> float:
    """Returns the factor by which the heads of the folds increase the variance of the accuracy.

    They differ by chance, and share most of their training images, so that they make the same
    mistakes. An interval for independent images contains the true accuracy too rarely
    (tests/benchmarks/README.md). The correction is that of Nadeau and Bengio, Inference for the
    Generalization Error, 2003, https://doi.org/10.1023/A:1024068626366. It multiplies the variance
    1 / K of the mean over K folds by 1 + K * (held-out images) / (training images).
    """
    return 1 + fold_count / (fold_count - 1)


def _of_image_dir(part: SplitFeatures) -> SplitFeatures:
    rows = [row for row, image in enumerate(part.images) if image.percentage_hash is not None]
    return part if len(rows) == len(part.images) else part.take(np.array(rows, np.int64))


def _repeat_variants(part: SplitFeatures, variants: int) -> np.ndarray:
    """Returns float16 [images * variants, width]."""
    count, present, width = part.variants.shape
    repeated = part.variants if present == variants else part.variants[:, :1].repeat(variants, 1)
    return repeated.reshape(count * variants, width)

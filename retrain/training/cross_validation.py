"""Estimates the accuracy of a run's classifier by nested cross-validation on cached features.

Every image is judged by a head that was trained without it, and without all images of its group.
All that a run chooses (features, strength, temperature) is chosen again in each fold, from the
images that the fold trains on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrain.bottlenecks.features import Bottlenecks
from retrain.data.dataset import ImageFile
from retrain.data.groups import number_groups
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.system.progress import ProgressBar
from retrain.training.evaluation import Evaluation, evaluate
from retrain.training.fold_head import fit_head
from retrain.training.folded_images import fold_images
from retrain.training_options import HeadOptions


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
    training_set = folded.training_set
    probabilities = np.zeros((len(folded.images), training_set.class_count), np.float32)
    with ProgressBar(len(folded.images), "Judged by folds") as progress:
        for is_training in folded.training_masks():
            head = fit_head(folded.select(is_training, options), options)
            held_out = training_set.undistorted_features[~is_training]
            probabilities[~is_training] = head.probabilities(held_out)
            progress.add(len(held_out))
    rows = np.flatnonzero(folded.is_judged)
    class_ids, groups = training_set.image_class_ids[rows], number_groups(folded.images)[rows]
    return OutOfFold(
        images=tuple(folded.images[row] for row in rows),
        class_ids=class_ids,
        probabilities=probabilities[rows],
        folds=folded.folds[rows],
        groups=groups,
        fold_count=fold_count,
        always_training=tuple(folded.images[row] for row in np.flatnonzero(~folded.is_judged)),
        evaluation=evaluate(
            probabilities[rows],
            class_ids,
            groups=groups,
            variance_factor=folded.variance_factor,
        ),
    )

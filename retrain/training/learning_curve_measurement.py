"""Measures a learning curve with the folds of a cross-validation."""

import dataclasses
import itertools

import numpy as np
from threadpoolctl import threadpool_limits

from retrain.bottlenecks.features import Bottlenecks
from retrain.data.groups import number_groups
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map
from retrain.training.cross_validation import OutOfFold
from retrain.training.folded_images import FoldedImages, fold_images
from retrain.training.learning_curve import MeasuredPoints
from retrain.training.logistic_regression import fit
from retrain.training_options import HeadOptions

# Shares of the training images of a fold that heads are trained on, in addition to all of them.
_SHARES = (1 / 8, 1 / 4, 1 / 2)
# More judged images would make the measurement slower, and the interval hardly narrower.
_MAX_JUDGED = 2000


def measure_points(
    features: Bottlenecks,
    options: HeadOptions,
    out_of_fold: OutOfFold,
    *,
    strength: float,
    stage_widths: tuple[int, ...],
    uses_stages: bool,
) -> MeasuredPoints:
    """Judges logistic regressions that are fitted to parts of the training images of each fold.

    All of them have the same strength. Selecting it again for each part would take six times as
    long, and changes the accuracies by less than 0.2 points for images of hands and film heroes.

    Args:
        features: Features that the cross-validation used.
        options: How to train the heads.
        out_of_fold: Predictions of heads that were trained on all images of the other folds.
        strength: Inverse regularisation strength of the heads.
        stage_widths: Number of features of each earlier stage.
        uses_stages: Whether the heads use the features of earlier stages.
    """
    # SciPy loads its own BLAS, whose threads can only be limited once it is loaded.
    import scipy.optimize  # noqa: F401

    folded = fold_images(
        features, out_of_fold.fold_count, stage_widths=stage_widths, seed=options.seed
    )
    if not uses_stages:
        folded = dataclasses.replace(folded, training_set=folded.training_set.without_stages())
    class_ids, groups = folded.training_set.image_class_ids, number_groups(folded.images)
    vectors = folded.training_set.undistorted_features
    # Images of a group stay together, as if fewer groups had been collected.
    ranks = np.random.default_rng(options.seed).permutation(len(class_ids))[groups]

    def fit_part(job: tuple[float, np.ndarray]) -> tuple[int, np.ndarray]:
        """Returns the number of images that are fitted to, and labels of the judged ones."""
        share, is_training = job
        rows = np.flatnonzero(is_training)
        rows = rows[select_subset(class_ids[rows], share, ranks[rows])]
        head = fit(folded.select(rows, options), strength)
        return len(rows), head.logits(vectors[~is_training]).argmax(axis=1)

    masks = _masks_of_judged_folds(folded)
    # One product on several threads would mostly wait; the fits keep all processors busy.
    with threadpool_limits(1, "blas"):
        fits = parallel_map(fit_part, itertools.product(_SHARES, masks), processor_count())
        results = [list(itertools.islice(fits, len(masks))) for _ in _SHARES]
    sizes = [np.mean([size for size, _ in result]) for result in results]
    predicted = [np.concatenate([labels for _, labels in result]) for result in results]
    # The heads of the cross-validation were trained on all images.
    judged = np.concatenate([np.flatnonzero(~mask) for mask in masks])
    positions = np.cumsum(folded.is_judged) - 1
    sizes.append(np.mean([mask.sum() for mask in masks]))
    predicted.append(out_of_fold.probabilities.argmax(axis=1)[positions[judged]])
    return MeasuredPoints(
        sizes=list(map(float, sizes)),
        right=np.stack(predicted) == class_ids[judged],
        groups=groups[judged],
        variance_factor=folded.variance_factor,
    )


def _masks_of_judged_folds(folded: FoldedImages) -> list[np.ndarray]:
    """Returns the training images of as many folds as are needed to judge enough images."""
    masks: list[np.ndarray] = []
    judged_count = 0
    for mask in folded.training_masks():
        masks.append(mask)
        judged_count += int(np.count_nonzero(~mask))
        if judged_count >= _MAX_JUDGED:
            break
    return masks


def select_subset(class_ids: np.ndarray, share: float, ranks: np.ndarray) -> np.ndarray:
    """Returns a mask of a share of the images of each class, but at least two, bool [N].

    Args:
        class_ids: Classes of the images, int [N].
        share: Share of the images, 0 to 1.
        ranks: Numbers by which the images are ordered, those that are taken first, [N].
    """
    mask = np.zeros(len(class_ids), bool)
    for class_id in np.unique(class_ids):
        members = np.flatnonzero(class_ids == class_id)
        count = min(len(members), max(2, round(share * len(members))))
        mask[members[np.argsort(ranks[members], kind="stable")[:count]]] = True
    return mask

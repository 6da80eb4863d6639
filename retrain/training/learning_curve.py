"""Measures the accuracy with fewer training images, and estimates it for twice as many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from retrain.bottlenecks.compute import Bottlenecks
from retrain.data.groups import number_groups
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map
from retrain.training.cross_validation import OutOfFold, fold_images, select_images
from retrain.training.evaluation import wilson_interval
from retrain.training.folds import ALWAYS_TRAINING
from retrain.training.logistic_regression import fit
from retrain.training_options import HeadOptions

# Shares of the training images of a fold that heads are trained on, in addition to all of them.
SHARES = (1 / 8, 1 / 4, 1 / 2)
# Resamples of the judged images, and the interval that is taken of them.
_RESAMPLES = 1000
_ACCURACY_INTERVAL = (2.5, 97.5)
_GAIN_INTERVAL = (5, 95)
# Share of the slope of a straight line that is left for the next doubling. The lines become flatter
# the more images there are; tests/benchmarks/learning_curve.py compares estimates with accuracies.
_SLOPE_LEFT = (0.4, 1.0)
# With fewer mistakes of the head that was trained on all images, there is no estimate.
_MIN_MISTAKES = 5
# More judged images would make the measurement slower, and the interval hardly narrower.
_MAX_JUDGED = 2000


class Point(NamedTuple):
    """The accuracy of heads that were trained on some of the images.

    Attributes:
        images: Mean number of training images.
        accuracy: Fraction of the judged images with the right label.
        low: Lower end of the accuracy's 95 % interval.
        high: Upper end of the interval.
    """

    images: float
    accuracy: float
    low: float
    high: float


class Estimate(NamedTuple):
    """What twice as many images of the same kind would add to the accuracy, as a fraction.

    Attributes:
        gain: Most likely gain.
        low: Lower end of the 90 % interval.
        high: Upper end of the interval.
    """

    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class LearningCurve:
    """The accuracy of heads that were trained on different numbers of images.

    Attributes:
        points: Points in increasing order of their numbers of images.
        doubled: Estimate for twice as many images as at the last point; None if there are too few
            mistakes or points.
        judged: Number of images that each point was judged on.
    """

    points: tuple[Point, ...]
    doubled: Estimate | None
    judged: int


def measure_learning_curve(
    features: Bottlenecks,
    options: HeadOptions,
    out_of_fold: OutOfFold,
    *,
    strength: float,
    stage_widths: tuple[int, ...],
    uses_stages: bool,
) -> LearningCurve:
    """Fits logistic regressions to parts of the training images of each fold.

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
    training_set = folded.training_set
    if not uses_stages:
        training_set = training_set.without_stages()
    class_ids, groups = training_set.image_class_ids, number_groups(folded.images)
    # Images of a group stay together, as if fewer groups had been collected.
    ranks = np.random.default_rng(options.seed).permutation(len(folded.images))[groups]
    is_judged = np.zeros(len(folded.images), bool)
    subsets: list[np.ndarray] = []
    held_out: list[np.ndarray] = []
    sizes = []
    for _, is_training in folded.training_images():
        if is_judged.sum() >= _MAX_JUDGED:
            break
        is_judged |= ~is_training
        rows = np.flatnonzero(is_training)
        parts = [rows[select_subset(class_ids[rows], share, ranks[rows])] for share in SHARES]
        subsets += parts
        held_out += len(SHARES) * [np.flatnonzero(~is_training)]
        sizes.append([len(part) for part in (*parts, rows)])

    def predict(number: int) -> np.ndarray:
        fitted_to = select_images(training_set, subsets[number], features.dataset, options)
        logits = fit(fitted_to, strength).logits(
            training_set.undistorted_features[held_out[number]]
        )
        return logits.argmax(axis=1)

    predicted = np.full((len(SHARES) + 1, len(folded.images)), -1)
    predicted[-1, folded.folds != ALWAYS_TRAINING] = out_of_fold.probabilities.argmax(axis=1)
    # One product on several threads would mostly wait; the fits keep all processors busy.
    with threadpool_limits(1, "blas"):
        fits = parallel_map(predict, range(len(subsets)), processor_count())
        for number, labels in enumerate(fits):
            predicted[number % len(SHARES), held_out[number]] = labels
    right = (predicted == class_ids)[:, is_judged]
    return summarise(np.mean(sizes, axis=0).tolist(), right, groups[is_judged], seed=options.seed)


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


def summarise(
    sizes: Sequence[float], right: np.ndarray, groups: np.ndarray, *, seed: int = 0
) -> LearningCurve:
    """Returns the learning curve of predictions for the same images.

    The intervals come from resampling these images; that of an accuracy is at least Wilson's, since
    resamples without mistakes do not differ. The estimate continues the straight line that
    errors follow on logarithmic scales: with twice the images, a constant share of them remains.
    Half of the lines go through all points, half through the last two, and they become flatter by
    an unknown factor, so that the interval also covers that the line is only approximately right.
    Hestness et al., Deep Learning Scaling is Predictable, Empirically, 2017,
    https://arxiv.org/abs/1712.00409

    Args:
        sizes: Mean number of training images of each point, in increasing order.
        right: Whether each judged image gets the right label, bool [points, N].
        groups: Equal numbers for images that are resampled together, int [N].
        seed: Random seed of the resampling.
    """
    _, groups = np.unique(groups, return_inverse=True)
    group_count = groups.max() + 1
    random = np.random.default_rng(seed)
    weights = random.multinomial(
        group_count, np.full(group_count, 1 / group_count), size=_RESAMPLES
    )
    mistakes_by_group = np.stack([np.bincount(groups, ~row, group_count) for row in right])
    sizes_by_group = np.bincount(groups, minlength=group_count)
    counts = weights @ sizes_by_group
    mistakes = weights @ mistakes_by_group.T
    low, high = np.percentile(1 - mistakes / counts[:, np.newaxis], _ACCURACY_INTERVAL, axis=0)
    points = []
    for size, row, row_low, row_high in zip(sizes, right, low, high, strict=True):
        accuracy = float(row.mean())
        least, most = wilson_interval(accuracy, len(row))
        points.append(Point(size, accuracy, min(float(row_low), least), max(float(row_high), most)))
    doubled = None
    if len(sizes) > 2 and (~right[-1]).sum() >= _MIN_MISTAKES:
        gains = np.concatenate(
            [
                _extrapolate(
                    sizes[first:],
                    mistakes[:, first:],
                    counts,
                    slope_left=random.uniform(*_SLOPE_LEFT, _RESAMPLES),
                )
                for first in (0, -2)
            ]
        )
        low_gain, gain, high_gain = np.percentile(gains, (_GAIN_INTERVAL[0], 50, _GAIN_INTERVAL[1]))
        doubled = Estimate(float(gain), float(low_gain), float(high_gain))
    return LearningCurve(tuple(points), doubled, right.shape[1])


def _extrapolate(
    sizes: Sequence[float], mistakes: np.ndarray, counts: np.ndarray, *, slope_left: np.ndarray
) -> np.ndarray:
    """Returns the gain in accuracy of twice the last size, float [M].

    Args:
        sizes: Numbers of training images, [points].
        mistakes: Numbers of mistakes, [M, points].
        counts: Numbers of judged images, [M].
        slope_left: Shares of the slope to continue with, [M].
    """
    # Half a mistake more, since the logarithm of zero is infinite.
    errors = (mistakes + 0.5) / (counts + 1)[:, np.newaxis]
    x = np.log2(sizes)
    x -= x.mean()
    slopes = np.log2(errors) @ x / (x @ x)
    return errors[:, -1] * (1 - 2 ** (slope_left * np.minimum(slopes, 0)))

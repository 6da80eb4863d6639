"""Measures heads of all regularisation strengths on held-out images, as a validation curve.

https://scikit-learn.org/stable/modules/learning_curve.html describes such curves.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map
from retrain.training.history import MetricSeries, TrainingHistory
from retrain.training.logistic_regression import STRENGTHS, fit_path
from retrain.training.losses import cross_entropies_of_logits
from retrain.training.step_metrics import Examples
from retrain.training.training_set import TrainingSet


@dataclass(frozen=True)
class ValidationCurve:
    """Heads of all strengths, and their predictions for images that they were not fitted to.

    Attributes:
        training: The training images, with the features that the heads use.
        class_ids: True classes of the held-out images, int [M].
        logits: Logits of these images at each strength, float32 [strengths, M, classes].
        losses: Cross entropy of these images at each strength, float32 [strengths, M].
        train: Metrics on the images that the heads were fitted to, at each strength.
    """

    training: TrainingSet
    class_ids: np.ndarray
    logits: np.ndarray
    losses: np.ndarray
    train: MetricSeries

    def best(self) -> int:
        """Returns the index of the strength with the smallest cross entropy."""
        return int(np.argmin(self._total_losses()))

    def history(self, selected: int, validation_name: str) -> TrainingHistory:
        """Returns the metrics of all strengths.

        Args:
            selected: Index of the selected strength.
            validation_name: Name of the held-out images in plots.
        """
        validation = None
        if count := len(self.class_ids):
            right = (self.logits.argmax(axis=2) == self.class_ids).sum(axis=1)
            validation = MetricSeries(
                tuple((right / count).tolist()),
                tuple(loss / count for loss in self._total_losses()),
            )
        return TrainingHistory(
            STRENGTHS, self.train, validation, STRENGTHS[selected], validation_name
        )

    def _total_losses(self) -> list[float]:
        return [float(row.sum()) for row in self.losses]


@dataclass(frozen=True)
class _FoldResult:
    """Results of the heads that are fitted without the images of one fold.

    Attributes:
        class_ids: True classes of the held-out images, int [M].
        logits: Logits of these images at each strength, float32 [strengths, M, classes].
        train_count: Number of the images that the heads were fitted to.
        train_totals: Number of these images with the right label, and the sum of their cross
            entropies, float64 [strengths, 2].
    """

    class_ids: np.ndarray
    logits: np.ndarray
    train_count: int
    train_totals: np.ndarray


def measure_validation_curves(
    sets: Sequence[TrainingSet], validation: Examples, folds: Sequence[np.ndarray]
) -> list[ValidationCurve]:
    """Returns a curve for each of several sets of features of the same images.

    Args:
        sets: The training images. The features of a set are the first ones of `validation`.
        validation: Further images, of which each is held out of one fold; may be empty.
        folds: Masks of the training images that a fold holds out, bool [images] each.
    """

    def fit(job: tuple[TrainingSet, int]) -> _FoldResult:
        training, fold = job
        features, class_ids = (array[fold :: len(folds)] for array in validation)
        features = features[:, : training.features.shape[1]]
        return _fit_fold(training, folds[fold], (features, class_ids))

    jobs = list(itertools.product(sets, range(len(folds))))
    results = parallel_map(fit, jobs, min(processor_count(), len(jobs)))
    return [_join(training, list(itertools.islice(results, len(folds)))) for training in sets]


def _fit_fold(training: TrainingSet, held_out: np.ndarray, validation: Examples) -> _FoldResult:
    fitted_to = training.select_images(~held_out)
    features = (training.undistorted_features[held_out], validation[0])
    logits, train_totals = [], []
    for head in fit_path(fitted_to):
        logits.append(np.concatenate([head.logits(part) for part in features]))
        train_logits = head.logits(fitted_to.undistorted_features)
        right = train_logits.argmax(axis=1) == fitted_to.image_class_ids
        losses = cross_entropies_of_logits(train_logits, fitted_to.image_class_ids)
        train_totals.append((right.sum(), losses.sum()))
    return _FoldResult(
        np.concatenate([training.image_class_ids[held_out], validation[1]]),
        np.stack(logits),
        len(fitted_to.image_class_ids),
        np.array(train_totals, np.float64),
    )


def _join(training: TrainingSet, folds: Sequence[_FoldResult]) -> ValidationCurve:
    class_ids = np.concatenate([fold.class_ids for fold in folds])
    logits = np.concatenate([fold.logits for fold in folds], axis=1)
    totals = np.sum([fold.train_totals for fold in folds], axis=0)
    accuracy, cross_entropy = (totals / sum(fold.train_count for fold in folds)).T.tolist()
    return ValidationCurve(
        training=training,
        class_ids=class_ids,
        logits=logits,
        losses=np.stack([cross_entropies_of_logits(row, class_ids) for row in logits]),
        train=MetricSeries(tuple(accuracy), tuple(cross_entropy)),
    )

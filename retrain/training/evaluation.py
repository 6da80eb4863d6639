"""Computes accuracy, calibration and confusion from predictions and true classes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from retrain.training.accuracy_interval import accuracy_interval
from retrain.training.losses import cross_entropies

_CALIBRATION_BINS = 15


@dataclass(frozen=True)
class ClassScores:
    """Metrics of one class, each 0 to 1.

    Attributes:
        count: Number of images of the class.
        precision: Fraction of the images with this predicted label that are of the class; None
            if the label is never predicted.
        recall: Fraction of the images of the class that get this label; None if there are none.
        f1: Harmonic mean of precision and recall; None if the class neither occurs nor is
            predicted.
    """

    count: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Mistake:
    """An image with a wrong label.

    Attributes:
        index: Row of the image among the predictions.
        truth: True class.
        predicted: Predicted class.
        score: Score of the predicted class, 0 to 1.
    """

    index: int
    truth: int
    predicted: int
    score: float


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a classifier. Fractions are 0 to 1, and None if there are no images.

    Attributes:
        count: Number of images.
        accuracy: Fraction of the images with the right label.
        interval: 95 % confidence interval of the accuracy.
        baseline: Accuracy of always predicting the majority class.
        balanced_accuracy: Mean recall of the classes that occur.
        cross_entropy: Mean cross entropy in nats.
        expected_calibration_error: Mean difference between score and accuracy.
        classes: Metrics of each class.
        confusion: Confusion matrix: row `i`, column `j` is the number of images of class `i` with
            predicted class `j`.
        misclassified: Images with a wrong label, in the order of the predictions.
    """

    count: int
    accuracy: float | None
    interval: tuple[float, float] | None
    baseline: float | None
    balanced_accuracy: float | None
    cross_entropy: float | None
    expected_calibration_error: float | None
    classes: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]
    misclassified: tuple[Mistake, ...]

    def as_json(self, labels: Sequence[str]) -> dict[str, Any]:
        """Returns the metrics as values for `json.dumps`, without the misclassified images.

        Args:
            labels: Labels of the classes, without duplicates.
        """
        return {
            "count": self.count,
            "accuracy": self.accuracy,
            "interval": list(self.interval) if self.interval else None,
            "baseline": self.baseline,
            "balanced_accuracy": self.balanced_accuracy,
            "cross_entropy": self.cross_entropy,
            "expected_calibration_error": self.expected_calibration_error,
            "classes": {
                label: asdict(scores) for label, scores in zip(labels, self.classes, strict=True)
            },
            "confusion": [list(row) for row in self.confusion],
        }


def evaluate(
    probabilities: np.ndarray,
    class_ids: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    variance_factor: float = 1,
) -> Evaluation:
    """Returns the metrics of predictions.

    Args:
        probabilities: Predicted probabilities, float [N, classes], 0 to 1, each row with sum 1.
            N may be 0.
        class_ids: True classes, int [N], 0 to classes - 1.
        groups: Number of each image's group, int [N]; see `accuracy_interval`.
        variance_factor: See `accuracy_interval`.

    Raises:
        ValueError: If the shapes do not match, or a class is out of range.
    """
    _check(probabilities, class_ids)
    predicted = probabilities.argmax(axis=1)
    scores = probabilities.max(axis=1)
    right = predicted == class_ids
    confusion = _confusion(class_ids, predicted, probabilities.shape[1])
    classes = _class_scores(confusion)
    count = len(class_ids)
    return Evaluation(
        count=count,
        accuracy=_fraction(right.sum(), count),
        interval=accuracy_interval(right, groups=groups, variance_factor=variance_factor)
        if count
        else None,
        baseline=_fraction(confusion.sum(axis=1).max(), count),
        balanced_accuracy=_mean([c.recall for c in classes if c.recall is not None]),
        cross_entropy=float(cross_entropies(probabilities, class_ids).mean()) if count else None,
        expected_calibration_error=_calibration_error(scores, right) if count else None,
        classes=classes,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        misclassified=tuple(
            Mistake(int(i), int(class_ids[i]), int(predicted[i]), float(scores[i]))
            for i in np.flatnonzero(~right)
        ),
    )


def _check(probabilities: np.ndarray, class_ids: np.ndarray) -> None:
    if probabilities.ndim != 2 or class_ids.shape != probabilities.shape[:1]:
        raise ValueError(
            "expected probabilities [N, classes] and class_ids [N], "
            f"got {probabilities.shape} and {class_ids.shape}"
        )
    if len(class_ids) and not 0 <= class_ids.min() <= class_ids.max() < probabilities.shape[1]:
        raise ValueError(
            f"expected class_ids from 0 to {probabilities.shape[1] - 1}, "
            f"got {class_ids.min()} to {class_ids.max()}"
        )


def _confusion(class_ids: np.ndarray, predicted: np.ndarray, class_count: int) -> np.ndarray:
    result = np.zeros((class_count, class_count), np.int64)
    np.add.at(result, (class_ids, predicted), 1)
    return result


def _class_scores(confusion: np.ndarray) -> tuple[ClassScores, ...]:
    columns = zip(
        confusion.diagonal().tolist(),
        confusion.sum(axis=1).tolist(),
        confusion.sum(axis=0).tolist(),
        strict=True,
    )
    return tuple(
        ClassScores(
            count=count,
            precision=_fraction(right, predicted),
            recall=_fraction(right, count),
            f1=_fraction(2 * right, predicted + count),
        )
        for right, count, predicted in columns
    )


def _fraction(part: float, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return _fraction(sum(values), len(values))


def _calibration_error(scores: np.ndarray, right: np.ndarray) -> float:
    """Returns the mean difference between score and accuracy, over bins of equal width.

    Guo et al., On Calibration of Modern Neural Networks, 2017, https://arxiv.org/abs/1706.04599
    """
    bins = np.clip(np.ceil(scores * _CALIBRATION_BINS) - 1, 0, _CALIBRATION_BINS - 1).astype(int)
    gaps = np.bincount(bins, scores.astype(np.float64) - right, _CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(scores))

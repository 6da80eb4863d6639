"""Predictions to numbers: how good a classifier is on images whose classes are known."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

_CALIBRATION_BINS = 15

# 95 % of a normal distribution lie within so many standard deviations.
_Z = 1.959963984540054


@dataclass(frozen=True)
class ClassScores:
    """How good the classifier is at one class.

    Attributes:
        count: images of the class.
        precision: share of the images given this label that deserve it; None where there are
            none.
        recall: share of the class's images given this label; None where there are none.
        f1: harmonic mean of the two; None where the class neither occurs nor is predicted.
    """

    count: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Mistake:
    """An image that got a wrong label.

    Attributes:
        index: of its row among the predictions.
        truth: its class.
        predicted: the class that it was taken for.
        score: of that class, 0 to 1.
    """

    index: int
    truth: int
    predicted: int
    score: float


@dataclass(frozen=True)
class Evaluation:
    """How good a classifier is; all shares are 0 to 1, and None where there are no images.

    Attributes:
        count: images that were looked at.
        accuracy: share of them with the right label.
        interval: where the accuracy on all images of the kind lies, with 95 % confidence.
        baseline: the accuracy of always answering the commonest class.
        balanced_accuracy: mean recall of the classes that occur.
        cross_entropy: mean, in nats, 0 or more.
        expected_calibration_error: how far confidence and accuracy are apart.
        classes: the scores of each class.
        confusion: how many images of class `i` were taken for `j`, in row `i`.
        misclassified: the images with a wrong label, in order.
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
        """Returns the numbers as what `json.dumps` takes.

        The images with a wrong label are left out: their indices mean nothing to a reader.

        Args:
            labels: of the classes, each different.
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


def evaluate(probabilities: np.ndarray, class_ids: np.ndarray) -> Evaluation:
    """Returns how well predictions agree with the truth.

    Args:
        probabilities: float [N, classes], 0 to 1, each row with the sum 1. N may be 0.
        class_ids: int [N], the truth, 0 to classes - 1.

    Raises:
        ValueError: the shapes do not fit together, or there is no such class.
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
        accuracy=_share(right.sum(), count),
        interval=_wilson_interval(int(right.sum()), count) if count else None,
        baseline=_share(confusion.sum(axis=1).max(), count),
        balanced_accuracy=_mean([c.recall for c in classes if c.recall is not None]),
        cross_entropy=float(losses(probabilities, class_ids).mean()) if count else None,
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
            "expected probabilities [N, classes] and classes [N], "
            f"but got {probabilities.shape} and {class_ids.shape}"
        )
    if len(class_ids) and not 0 <= class_ids.min() <= class_ids.max() < probabilities.shape[1]:
        raise ValueError(
            f"expected classes from 0 to {probabilities.shape[1] - 1}, "
            f"but got {class_ids.min()} to {class_ids.max()}"
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
            precision=_share(right, predicted),
            recall=_share(right, count),
            f1=_share(2 * right, predicted + count),
        )
        for right, count, predicted in columns
    )


def _share(part: float, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return _share(sum(values), len(values))


def losses(probabilities: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
    """Returns the cross entropy of each image in nats, float64 [N].

    Args:
        probabilities: float32 [N, classes].
        class_ids: int [N].
    """
    of_truth = probabilities[np.arange(len(class_ids)), class_ids].astype(np.float64)
    # A probability that was rounded to 0 is not a certainty of being wrong.
    smallest = np.finfo(np.float32).tiny
    return -np.log(np.clip(of_truth, smallest, 1))


def _calibration_error(scores: np.ndarray, right: np.ndarray) -> float:
    """Returns the mean gap between confidence and accuracy in bins of equal width.

    Guo et al., On Calibration of Modern Neural Networks, 2017, https://arxiv.org/abs/1706.04599
    """
    bins = np.clip(np.ceil(scores * _CALIBRATION_BINS) - 1, 0, _CALIBRATION_BINS - 1).astype(int)
    gaps = np.bincount(bins, scores.astype(np.float64) - right, _CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(scores))


def _wilson_interval(right: int, count: int) -> tuple[float, float]:
    """Returns the 95 % score interval, which holds for few images and near 0 and 1, too.

    E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927,
    https://doi.org/10.1080/01621459.1927.10502953
    """
    share = right / count
    scale = 1 + _Z**2 / count
    centre = (share + _Z**2 / (2 * count)) / scale
    reach = _Z * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2) / scale
    return max(centre - reach, 0.0), min(centre + reach, 1.0)

"""Writes the scores of all held-out images as a CSV file."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from retrain.bottlenecks.features import Bottlenecks
from retrain.data.dataset import ImageFile
from retrain.data.splits import TEST, VALIDATION
from retrain.training.results import HeadResult

_COLUMNS = ("image", "sha256", "split", "by", "true_label", "predicted_label", "is_right", "score")
# No fixed column starts like this, so the columns of labels cannot have the same name.
_LABEL_PREFIX = "score_"
_EXPORTED = "exported"


def write_predictions(path: Path, result: HeadResult) -> None:
    """Writes a line for each prediction for an image by a head that was not trained on it.

    The exported head predicts the validation and the test images. If there was a cross-validation,
    the head of each fold predicts the images of this fold. The column "by" says which it was.

    Args:
        path: File to write.
        result: Head, features, and predictions of the cross-validation.

    Raises:
        OSError: If the file cannot be written.
    """
    features = result.features
    labels = features.dataset.labels
    # A path can have bytes that are not text. They are kept.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_COLUMNS, *(f"{_LABEL_PREFIX}{label}" for label in labels)])
        for part in (features.split(VALIDATION), features.split(TEST)):
            by = [_EXPORTED] * len(part.images)
            probabilities = result.head.probabilities(part.vectors)
            writer.writerows(_rows(features, part.images, probabilities, by))
        if out_of_fold := result.out_of_fold:
            by = [f"fold {fold + 1}" for fold in out_of_fold.folds.tolist()]
            writer.writerows(_rows(features, out_of_fold.images, out_of_fold.probabilities, by))


def _rows(
    features: Bottlenecks, images: tuple[ImageFile, ...], probabilities: np.ndarray, by: list[str]
) -> Iterator[list[object]]:
    labels, folder = features.dataset.labels, features.dataset.image_dir
    for image, scores, head in zip(images, probabilities, by, strict=True):
        predicted = int(scores.argmax())
        path = image.path
        digest = features.digests.get(path)
        yield [
            path.relative_to(folder) if path.is_relative_to(folder) else path,
            digest.hex() if digest else "",
            image.split,
            head,
            labels[image.class_id],
            labels[predicted],
            int(predicted == image.class_id),
            *(f"{score:.6g}" for score in (scores[predicted], *scores)),
        ]

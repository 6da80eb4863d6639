"""The predictions for held-out images that a report judges a classifier by."""

import functools
from dataclasses import dataclass

import numpy as np

from retrain.data.dataset import ImageFile
from retrain.training.evaluation import Evaluation
from retrain.training.results import HeadResult


@dataclass(frozen=True)
class HeldOut:
    """Predictions for images by heads that were not trained on them.

    Attributes:
        images: N images.
        class_ids: Class of each image, int64 [N].
        probabilities: Probabilities of the classes, float32 [N, classes], 0 to 1.
        evaluation: Metrics of the predictions.
        fold_count: Number of cross-validation folds, each of which was judged by a head that was
            trained on the others; 0 if the exported head made all predictions.
    """

    images: tuple[ImageFile, ...]
    class_ids: np.ndarray
    probabilities: np.ndarray
    evaluation: Evaluation
    fold_count: int = 0

    @functools.cached_property
    def predicted(self) -> np.ndarray:
        """Predicted class of each image, int64 [N]."""
        return self.probabilities.argmax(axis=1)

    @functools.cached_property
    def scores(self) -> np.ndarray:
        """Score of the predicted class of each image, float32 [N], 0 to 1."""
        return self.probabilities.max(axis=1)

    @functools.cached_property
    def right(self) -> np.ndarray:
        """Whether the predicted class of each image is the right one, bool [N]."""
        return self.predicted == self.class_ids


def select_held_out(result: HeadResult) -> HeldOut:
    """Returns the predictions of cross-validation, or if there are none, those for the test split.

    Cross-validation judges all images, so there are more mistakes to learn from. It judges none if
    all images of each class are nearly the same.
    """
    out_of_fold = result.out_of_fold
    if out_of_fold is not None and out_of_fold.images:
        return HeldOut(
            out_of_fold.images,
            out_of_fold.class_ids,
            out_of_fold.probabilities,
            out_of_fold.evaluation,
            out_of_fold.fold_count,
        )
    test = result.test_features
    return HeldOut(
        test.images, test.class_ids, result.head.probabilities(test.vectors), result.test
    )

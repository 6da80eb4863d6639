"""Finds images with probably wrong labels, and outliers."""

from collections.abc import Iterator, Sequence

import numpy as np

from retrain.data_check import label_errors, outliers
from retrain.data_check.findings import Finding

# Fewer images of a class say too little about what it looks like.
_MIN_IMAGES = 5


def find_in_features(
    features: np.ndarray,
    rows: Sequence[int],
    class_ids: np.ndarray,
    *,
    labels: Sequence[str],
) -> Iterator[Finding]:
    """Yields what the features of images say about their labels.

    Args:
        features: Features of each row, float16 [rows, width].
        rows: Index of the image of each row.
        class_ids: Class of each row, int64 [rows].
        labels: Labels of the classes.
    """
    counts = np.bincount(class_ids)
    judged = np.flatnonzero(counts[class_ids] >= _MIN_IMAGES)
    # Classes without images would get a share of the fit.
    present, compact = np.unique(class_ids[judged], return_inverse=True)
    if len(present) >= 2:
        scores = label_errors.score_labels(features[judged], compact, len(present))
        suspicious = np.flatnonzero(scores.margins < label_errors.PROBABLY_WRONG)
        for row in suspicious[np.argsort(scores.margins[suspicious], kind="stable")].tolist():
            fitting = int(present[scores.predictions[row]])
            yield Finding(
                "mislabelled",
                (rows[judged[row]],),
                f"looks like {labels[fitting]}",
                round(float(scores.margins[row]), 4),
                suggested_class=fitting,
            )
    strange, excess = outliers.find_outliers(features, class_ids)
    for row, distance in zip(strange.tolist(), excess.tolist(), strict=True):
        yield Finding("outlier", (rows[row],), "", -round(distance, 2))

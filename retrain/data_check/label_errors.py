"""Ranks images by how well their label fits their features.

A linear head is fitted by ridge regression on standardised features, which has a closed form for
the outputs of each image if it is left out of the fit (Hastie et al., The Elements of Statistical
Learning, 7.10). So each image is judged by a head that has not seen it, at the cost of a single
fit. A strong penalty keeps the head from learning wrong labels.
"""

from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from retrain.data_check.feature_chunks import row_chunks
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map

# Penalty relative to the number of images. It was chosen on photos of pets and of hands with some
# labels exchanged.
_PENALTY = 3.0
# As for heads in `training.logistic_regression`.
_MIN_RELATIVE_STDDEV = 0.2
_MAX_LEVERAGE = 0.999


# Margin below which a label is probably wrong. Of 5 % exchanged labels in two sets of photos, 87 to
# 99 % are below it, and 87 to 93 % of the labels below it are exchanged ones.
PROBABLY_WRONG = -0.2


class LabelScores(NamedTuple):
    """How well the label of each image fits.

    Attributes:
        margins: Output for the label minus the largest output for another class, float32 [N].
            Negative if another class fits better; the most suspicious labels have the smallest.
        predictions: Class that fits best, int64 [N].
    """

    margins: np.ndarray
    predictions: np.ndarray


def score_labels(features: np.ndarray, class_ids: np.ndarray, class_count: int) -> LabelScores:
    """Scores the label of each image by a head that was fitted without this image.

    Args:
        features: float16 [N, width], N at least 2.
        class_ids: int64 [N].
        class_count: Number of classes, at least 2.
    """
    # SciPy loads its own BLAS, whose threads can only be limited once it is loaded.
    import scipy.linalg  # noqa: F401

    with threadpool_limits(1, "blas"):
        return _score_labels(features, class_ids, class_count)


def _score_labels(features: np.ndarray, class_ids: np.ndarray, class_count: int) -> LabelScores:
    from scipy.linalg import cho_factor, solve_triangular

    count, width = features.shape
    chunks = row_chunks(count)
    mean, divisor = _mean_and_divisor(features, chunks)
    counts = np.bincount(class_ids, minlength=class_count)
    # Balanced classes: every class has the same share in the sums, as in training.
    weights = (count / class_count / np.maximum(counts, 1))[class_ids].astype(np.float32)

    def standardise(rows: slice) -> np.ndarray:
        return (features[rows].astype(np.float32) - mean) / divisor

    def moments(rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, w = standardise(rows), weights[rows, np.newaxis]
        weighted = w * x
        sums = np.zeros((class_count, width))
        np.add.at(sums, class_ids[rows], weighted)
        return x.T @ weighted, weighted.sum(axis=0, dtype=np.float64), sums

    gram, total = np.zeros((width, width)), np.zeros(width)
    class_sums = np.zeros((class_count, width))
    for chunk_gram, chunk_total, chunk_sums in parallel_map(moments, chunks, processor_count()):
        gram += chunk_gram
        total += chunk_total
        class_sums += chunk_sums
    weight_sum = float(weights.sum(dtype=np.float64))
    centre = total / weight_sum
    gram -= weight_sum * np.outer(centre, centre)
    class_weights = np.bincount(class_ids, weights, class_count)
    shares = class_weights / weight_sum
    cross = (class_sums - np.outer(class_weights, centre)).T
    gram[np.diag_indices(width)] += _PENALTY * count
    factor = np.tril(cho_factor(gram, lower=True)[0])
    half = solve_triangular(factor, cross, lower=True)
    head = solve_triangular(factor, half, lower=True, trans="T").astype(np.float32)
    inverse = solve_triangular(factor, np.eye(width), lower=True).T.astype(np.float32)
    margins = np.empty(count, np.float32)
    predictions = np.empty(count, np.int64)

    def judge(rows: slice) -> None:
        x = standardise(rows) - centre.astype(np.float32)
        own, numbers = class_ids[rows], np.arange(rows.stop - rows.start)
        leverage = weights[rows] * (np.square(x @ inverse).sum(axis=1) + 1 / weight_sum)
        leverage = np.minimum(leverage, _MAX_LEVERAGE)
        outputs = x @ head + shares.astype(np.float32)
        targets = np.zeros_like(outputs)
        targets[numbers, own] = 1
        outputs += (leverage / (1 - leverage))[:, np.newaxis] * (outputs - targets)
        predictions[rows] = outputs.argmax(axis=1)
        margins[rows] = outputs[numbers, own]
        outputs[numbers, own] = -np.inf
        margins[rows] -= outputs.max(axis=1)

    for _ in parallel_map(judge, chunks, processor_count()):
        pass
    return LabelScores(margins, predictions)


def _mean_and_divisor(features: np.ndarray, chunks: list[slice]) -> tuple[np.ndarray, np.ndarray]:
    """Returns what standardises the features, float32 [width] each."""
    total, squares = np.zeros(features.shape[1]), np.zeros(features.shape[1])
    for rows in chunks:
        chunk = features[rows].astype(np.float32)
        total += chunk.sum(axis=0, dtype=np.float64)
        squares += np.square(chunk).sum(axis=0, dtype=np.float64)
    mean = total / len(features)
    variance = np.maximum(squares / len(features) - np.square(mean), 0)
    smallest = _MIN_RELATIVE_STDDEV * np.sqrt(variance.mean()) or 1.0
    return mean.astype(np.float32), np.maximum(np.sqrt(variance), smallest).astype(np.float32)

"""Fits class means and a covariance to features of images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from retrain.runtimes.familiarity import Familiarity, normalise

# Number of directions in which the covariance is known. More directions accept more images of
# other things, which tests/benchmarks/familiarity.py measures.
_COVARIANCE_RANK = 16
# Smallest number of images for each of these directions.
_IMAGES_PER_DIRECTION = 8
# Largest number of further directions, for the differences between the class means.
_MEANS_RANK = 48
# Largest number of values in the two matrices, of two bytes each.
_MAX_VALUES = 350_000
# More images do not change the covariance, nor the distribution of the distances.
_MAX_ROWS = 3_000
# Additional directions and steps for randomised eigenvectors: Halko et al., Finding Structure with
# Randomness, 2011, https://arxiv.org/abs/0909.4061
_OVERSAMPLING = 8
_POWER_STEPS = 2
# Smallest variance, for images that are all equal. Features have length 1. With a smaller one, the
# rounding errors of different programs would change the familiarity.
_MIN_VARIANCE = 2e-5
_ROWS_AT_A_TIME = 4096


class LabeledFeatures(NamedTuple):
    """Features of images with known classes.

    Attributes:
        features: float16 or float32 [N, width].
        class_ids: int [N].
    """

    features: np.ndarray
    class_ids: np.ndarray


class TrainingSample(NamedTuple):
    """Some of the training images, and the sums of all of them.

    Attributes:
        rows: Indices of the images in increasing order, int [S].
        features: Features of length 1, float32 [S, width].
        class_ids: int [S].
        sums: Sum of such features of all images of each class, float64 [classes, width].
        counts: Number of all images of each class, int [classes].
    """

    rows: np.ndarray
    features: np.ndarray
    class_ids: np.ndarray
    sums: np.ndarray
    counts: np.ndarray


def draw_sample(
    parts: Sequence[LabeledFeatures],
    class_count: int,
    required: np.ndarray | Sequence[int],
    seed: int,
) -> TrainingSample:
    """Draws images, of which the ones with the indices `required` are some."""
    class_ids = np.concatenate([part.class_ids for part in parts])
    sums = np.zeros((class_count, parts[0].features.shape[1]))
    for part in parts:
        for start in range(0, len(part.class_ids), _ROWS_AT_A_TIME):
            chunk = LabeledFeatures(*(array[start : start + _ROWS_AT_A_TIME] for array in part))
            order = np.argsort(chunk.class_ids, kind="stable")
            present, first = np.unique(chunk.class_ids[order], return_index=True)
            sums[present] += np.add.reduceat(normalise(chunk.features)[order], first)
    rows = np.arange(len(class_ids))
    if len(rows) > _MAX_ROWS:
        drawn = np.random.default_rng(seed).permutation(len(rows))[:_MAX_ROWS]
        rows = np.union1d(drawn, np.asarray(required, np.int64))
    features = []
    begin = 0
    for part in parts:
        end = begin + len(part.class_ids)
        features.append(normalise(part.features[rows[(begin <= rows) & (rows < end)] - begin]))
        begin = end
    return TrainingSample(
        rows=rows,
        features=np.concatenate(features),
        class_ids=class_ids[rows],
        sums=sums,
        counts=np.bincount(class_ids, minlength=class_count),
    )


def fit_model(
    sample: TrainingSample, held_out: np.ndarray, *, start: Familiarity | None = None
) -> Familiarity | None:
    """Fits means and covariance to the images that are not held out.

    Args:
        sample: All images.
        held_out: Mask of the images to leave out, bool [S].
        start: Result for all images, which makes the fit faster.

    Returns:
        A familiarity without distribution; None if no class has two images.
    """
    sums, counts = sample.sums, sample.counts
    if held_out.any():
        sums = sums.copy()
        np.subtract.at(sums, sample.class_ids[held_out], sample.features[held_out])
        counts = counts - np.bincount(sample.class_ids[held_out], minlength=len(counts))
    means = (sums / np.maximum(counts, 1)[:, np.newaxis]).astype(np.float32)
    center = means[counts > 0].mean(axis=0)
    means[counts == 0] = center
    residuals = sample.features[~held_out] - means[sample.class_ids[~held_out]]
    # The means take away as many degrees of freedom as there are classes.
    freedom = len(residuals) * (1 - np.count_nonzero(counts) / counts.sum())
    if freedom < 1:
        return None
    residuals /= np.float32(np.sqrt(freedom))
    width = len(center)
    most_rank = max(1, _MAX_VALUES // (width + len(means)))
    rank = min(_COVARIANCE_RANK, most_rank, max(1, int(freedom) // _IMAGES_PER_DIRECTION))
    variances, directions = _principal(residuals, rank, start=start.basis if start else None)
    total = float(np.square(residuals).sum())
    if freedom < _IMAGES_PER_DIRECTION:
        # So few images do not tell directions apart.
        residual = max(total / width, _MIN_VARIANCE)
        variances = np.full(len(variances), residual, np.float32)
    else:
        remaining = total - float(variances.sum())
        residual = max(remaining / max(1, width - len(variances)), _MIN_VARIANCE)
        variances = np.maximum(variances, residual)
    # The rest of the differences between means, in which the variance is the residual one.
    offsets = means - center
    between = offsets - offsets @ directions @ directions.T
    between_rank = min(_MEANS_RANK, most_rank - len(variances), len(means) - 1)
    if between_rank > 0:
        _, further = _principal(between, between_rank)
        directions = np.concatenate([directions, further], axis=1)
        variances = np.append(variances, np.full(further.shape[1], residual, np.float32))
    basis = round_to_float16(directions / np.sqrt(variances))
    return Familiarity(
        center=round_to_float16(center),
        basis=basis,
        variances=variances.astype(np.float32),
        means=round_to_float16(offsets @ basis),
        residual_variance=residual,
        distances=np.array([0, 1], np.float32),
        shares=np.array([1, 0.5], np.float32),
        tail_scale=1.0,
    )


def _principal(
    rows: np.ndarray, rank: int, *, start: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the largest eigenvalues of `rows.T @ rows`, and their eigenvectors.

    Args:
        rows: float32 [N, width].
        rank: Number of eigenvalues. Fewer, but at least one, are returned if `rows` has a smaller
            rank.
        start: Vectors near the eigenvectors, float32 [width, any number].

    Returns:
        float32 [rank], in decreasing order, and float32 [width, rank].
    """
    size = min(rank + _OVERSAMPLING, *rows.shape)
    basis = np.random.default_rng(0).normal(size=(rows.shape[1], size)).astype(np.float32)
    if start is not None:
        basis[:, : start.shape[1]] = start[:, :size]
    for _ in range(_POWER_STEPS if start is None else 1):
        basis, _ = np.linalg.qr(rows.T @ (rows @ basis))
    projected = rows @ basis
    eigenvalues, rotation = np.linalg.eigh(projected.T @ projected)
    largest = np.argsort(-eigenvalues)[:rank]
    largest = largest[: max(1, np.count_nonzero(eigenvalues > _MIN_VARIANCE))]
    return eigenvalues[largest], basis @ rotation[:, largest]


def round_to_float16(array: np.ndarray) -> np.ndarray:
    """Rounds to values that float16 can represent, which is how they are stored."""
    return array.astype(np.float16).astype(np.float32)

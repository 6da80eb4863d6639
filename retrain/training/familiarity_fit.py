"""Fits how familiar images are to the features of the training images.

Distances of images that were held out, some of them in reduced quality, give a distance its
meaning: the share of such images that are less familiar.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.compute import Bottlenecks
from retrain.bottlenecks.reduced_features import compute_reduced
from retrain.data.groups import number_groups
from retrain.data.splits import TRAINING, VALIDATION
from retrain.runtimes.familiarity import Familiarity, normalise
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map
from retrain.training.folds import assign_folds

# Number of directions in which the covariance is known. More directions accept more images of
# other things (tests/benchmarks/README.md).
_COVARIANCE_RANK = 16
# Images per such direction, at least.
_IMAGES_PER_DIRECTION = 8
# Largest number of further directions, for the differences between the class means.
_MEANS_RANK = 48
# Largest number of values in the two matrices, of two bytes each.
_MOST_VALUES = 350_000
# With few folds, images are held out of models of fewer images, and seem less familiar.
_FOLDS = 8
# More images do not change the covariance, nor the distribution of the distances.
_MOST_ROWS = 3_000
# Additional directions and steps for randomised eigenvectors: Halko et al., Finding Structure with
# Randomness, 2011, https://arxiv.org/abs/0909.4061
_OVERSAMPLING = 8
_POWER_STEPS = 2
# Smallest variance, for images that are all equal. Features have length 1. With a smaller one, the
# rounding errors of different programs would change the familiarity.
_MIN_VARIANCE = 1e-6
# The distances are stored for these shares, as far as there are enough held-out images.
_SHARES = (1, *np.arange(0.95, 0.09, -0.05), 0.08, 0.065, 0.05, 0.04, 0.03, 0.02, 0.01, 0.005)
_SHARES += (0.002, 0.001, 0.0005)
# The tail is fitted from this multiple of the smallest share that was measured.
_TAIL_MULTIPLE = 5
# Smallest difference between two distances, relative to the largest one and in any case.
_MIN_RELATIVE_STEP, _MIN_STEP = 1e-3, 1e-2
_ROWS_AT_A_TIME = 4096


class Examples(NamedTuple):
    """Features of images with known classes.

    Attributes:
        features: float16 or float32 [N, width].
        class_ids: int [N].
    """

    features: np.ndarray
    class_ids: np.ndarray


class ReducedCopies(NamedTuple):
    """Copies of some images in reduced quality.

    Attributes:
        rows: Index of the image that each copy was made of, int [M].
        features: Features of the copies, float16 or float32 [M, width].
    """

    rows: np.ndarray
    features: np.ndarray


class _Sample(NamedTuple):
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


class _Distances(NamedTuple):
    """Distances of images that were held out.

    Attributes:
        images: Distances of the images themselves, float32 [N].
        copies: Distances of copies in reduced quality, float32 [M].
    """

    images: np.ndarray
    copies: np.ndarray


def train_familiarity(
    backbone: Backbone, features: Bottlenecks, cache_dir: Path, *, seed: int = 0
) -> Familiarity | None:
    """Fits the familiarity to the features of all images except those of the test split.

    For a backbone that was fine-tuned on the training images, only validation images give distances
    their meaning, if there are any: the backbone brings the images that it learned from nearer to
    each other than new ones.

    Args:
        backbone: Backbone that computed the features.
        features: Features of all splits.
        cache_dir: Folder of the cache, for features of images in reduced quality.
        seed: Random seed.

    Raises:
        UserError: If the cache cannot be used.
    """
    training, validation = features.split(TRAINING), features.split(VALIDATION)
    held_out_only = backbone.fine_tuned and len(validation.images) > 0
    splits = [training] if held_out_only else [training, validation]
    images = [image for split in splits for image in split.images]
    copied = validation.images if held_out_only else images
    return fit_familiarity(
        [Examples(split.vectors, split.class_ids) for split in splits],
        number_groups(images),
        ReducedCopies(*compute_reduced(features, copied, backbone, cache_dir)),
        class_count=len(features.dataset.labels),
        held_out=validation.vectors if held_out_only else None,
        seed=seed,
    )


def fit_familiarity(
    parts: Sequence[Examples],
    groups: np.ndarray,
    copies: ReducedCopies,
    *,
    class_count: int,
    held_out: np.ndarray | None = None,
    seed: int = 0,
) -> Familiarity | None:
    """Fits class means and a covariance, and measures distances of held-out images.

    Args:
        parts: The images to fit to, in one or several parts.
        groups: Group of each of these N images, int [N]. No group is both fitted to and held out.
        copies: Copies of these images, or of those in `held_out`, in reduced quality.
        class_count: Number of classes.
        held_out: Features of other images of the classes, float16 or float32 [M, width]; None to
            hold out some of the images at a time.
        seed: Random seed of the folds.

    Returns:
        None if there are too few images: with a single one of each class, nothing says how much
        images of a class differ.
    """
    with threadpool_limits(1, "blas"):
        sample = _draw_sample(parts, class_count, copies.rows if held_out is None else (), seed)
        model = _fit(sample, np.zeros(len(sample.rows), bool))
        if model is None:
            distances = _Distances(np.empty(0), np.empty(0))
        elif held_out is None:
            folds = assign_folds(sample.class_ids, groups[sample.rows], _FOLDS, seed=seed)
            distances = _measure_folds(sample, folds, copies, model)
        else:
            distances = _Distances(
                model.class_distances(held_out), model.class_distances(copies.features)
            )
    if model is None or not len(distances.images):
        logging.warning(
            "There are too few images to measure how familiar an image is, so the classifier "
            "cannot say that an image shows none of the classes; add images to each class."
        )
        return None
    return _with_distribution(model, distances)


def _draw_sample(
    parts: Sequence[Examples], class_count: int, required: np.ndarray | Sequence[int], seed: int
) -> _Sample:
    """Draws images, of which the ones with the indices `required` are some."""
    class_ids = np.concatenate([part.class_ids for part in parts])
    sums = np.zeros((class_count, parts[0].features.shape[1]))
    for part in parts:
        for start in range(0, len(part.class_ids), _ROWS_AT_A_TIME):
            chunk = Examples(*(array[start : start + _ROWS_AT_A_TIME] for array in part))
            order = np.argsort(chunk.class_ids, kind="stable")
            present, first = np.unique(chunk.class_ids[order], return_index=True)
            sums[present] += np.add.reduceat(normalise(chunk.features)[order], first)
    rows = np.arange(len(class_ids))
    if len(rows) > _MOST_ROWS:
        drawn = np.random.default_rng(seed).permutation(len(rows))[:_MOST_ROWS]
        rows = np.union1d(drawn, np.asarray(required, np.int64))
    features = []
    begin = 0
    for part in parts:
        end = begin + len(part.class_ids)
        features.append(normalise(part.features[rows[(begin <= rows) & (rows < end)] - begin]))
        begin = end
    return _Sample(
        rows=rows,
        features=np.concatenate(features),
        class_ids=class_ids[rows],
        sums=sums,
        counts=np.bincount(class_ids, minlength=class_count),
    )


def _measure_folds(
    sample: _Sample, folds: np.ndarray, copies: ReducedCopies, model: Familiarity
) -> _Distances:
    """Measures the distance of each image to a model of the images in other folds.

    Args:
        sample: The images.
        folds: Result of `assign_folds` for them, int [S].
        copies: Copies of some of them.
        model: Model of all of them.
    """
    fold_of_copy = folds[np.searchsorted(sample.rows, copies.rows)]

    def measure(fold: int) -> _Distances:
        held_out = folds == fold
        fitted = _fit(sample, held_out, start=model)
        if fitted is None:
            return _Distances(np.empty(0, np.float32), np.empty(0, np.float32))
        return _Distances(
            fitted.class_distances(sample.features[held_out]),
            fitted.class_distances(copies.features[fold_of_copy == fold]),
        )

    results = list(parallel_map(measure, range(_FOLDS), processor_count()))
    return _Distances(
        np.concatenate([result.images for result in results]),
        np.concatenate([result.copies for result in results]),
    )


def _fit(
    sample: _Sample, held_out: np.ndarray, *, start: Familiarity | None = None
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
    most_rank = max(1, _MOST_VALUES // (width + len(means)))
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
    basis = _round(directions / np.sqrt(variances))
    return Familiarity(
        center=_round(center),
        basis=basis,
        variances=variances.astype(np.float32),
        means=_round(offsets @ basis),
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


def _round(array: np.ndarray) -> np.ndarray:
    """Rounds to values that float16 can represent, which is how they are stored."""
    return array.astype(np.float16).astype(np.float32)


def _with_distribution(model: Familiarity, distances: _Distances) -> Familiarity:
    """Adds the shares of images with larger distances.

    A share is that of the images or that of the copies, whichever is larger. So a limit for the
    familiarity accepts as large a part of both.
    """
    smallest = 1 / (1 + len(distances.images))
    shares = np.array([share for share in _SHARES if share > smallest] + [smallest])

    def quantiles(shares: np.ndarray) -> np.ndarray:
        result = np.quantile(distances.images, 1 - shares)
        if len(distances.copies):
            result = np.maximum(result, np.quantile(distances.copies, 1 - shares))
        return result

    points = quantiles(shares)
    # Equal images have equal distances, which must increase nevertheless.
    step = max(_MIN_RELATIVE_STEP * float(points[-1]), _MIN_STEP)
    points = np.maximum.accumulate(points - step * np.arange(len(points)))
    points = np.maximum(points, 0) + step * np.arange(len(points))
    start = min(1.0, _TAIL_MULTIPLE * smallest)
    spread = points[-1] - float(quantiles(np.array([start]))[0])
    tail_scale = max(spread / np.log(start / smallest), step)
    return Familiarity(
        center=model.center,
        basis=model.basis,
        variances=model.variances,
        means=model.means,
        residual_variance=model.residual_variance,
        distances=points.astype(np.float32),
        shares=shares.astype(np.float32),
        tail_scale=float(tail_scale),
    )

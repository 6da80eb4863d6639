"""Fits how familiar images are to the features of the training images.

Distances of images that were held out, some of them in reduced quality, give a distance its
meaning: the share of such images that are less familiar.
"""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.features import Bottlenecks
from retrain.bottlenecks.reduced_features import ReducedCopies, compute_reduced
from retrain.data.groups import number_groups
from retrain.data.splits import TRAINING, VALIDATION
from retrain.runtimes.familiarity import Familiarity
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map
from retrain.training.familiarity_model import (
    LabeledFeatures,
    TrainingSample,
    draw_sample,
    fit_model,
)
from retrain.training.folds import assign_folds

# With few folds, images are held out of models of fewer images, and seem less familiar.
_FOLDS = 8
# The distances are stored for these shares, as far as there are enough held-out images.
_SHARES = (1, *np.arange(0.95, 0.09, -0.05), 0.08, 0.065, 0.05, 0.04, 0.03, 0.02, 0.01, 0.005)
_SHARES += (0.002, 0.001, 0.0005)
# The tail is fitted from this multiple of the smallest share that was measured.
_TAIL_MULTIPLE = 5
# Smallest difference between two distances, relative to the largest one and in any case.
_MIN_RELATIVE_STEP, _MIN_STEP = 1e-3, 1e-2


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
        [LabeledFeatures(split.vectors, split.class_ids) for split in splits],
        number_groups(images),
        compute_reduced(features, copied, backbone, cache_dir),
        class_count=len(features.dataset.labels),
        held_out=validation.vectors if held_out_only else None,
        seed=seed,
    )


def fit_familiarity(
    parts: Sequence[LabeledFeatures],
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
        sample = draw_sample(parts, class_count, copies.rows if held_out is None else (), seed)
        model = fit_model(sample, np.zeros(len(sample.rows), bool))
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
            "Familiarity cannot be measured, so the classifier cannot say that an image shows none "
            "of the classes: each class has a single image, or a single group of images that "
            "resemble each other. Add other images."
        )
        return None
    return _with_distribution(model, distances)


def _measure_folds(
    sample: TrainingSample, folds: np.ndarray, copies: ReducedCopies, model: Familiarity
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
        fitted = fit_model(sample, held_out, start=model)
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
    return dataclasses.replace(
        model,
        distances=points.astype(np.float32),
        shares=shares.astype(np.float32),
        tail_scale=float(tail_scale),
    )

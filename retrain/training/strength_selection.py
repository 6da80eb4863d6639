"""Fits a logistic regression whose features and strength cross-validation selects.

The features are those of the last layer, or those of earlier stages as well. The choice with the
smallest cross entropy on held-out images is selected; a small advantage is not enough for the
features of earlier stages. The logits of these images also serve to calibrate the head: the folds'
heads were not trained on them.
"""

import dataclasses
import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from retrain.runtimes.head import Head
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map
from retrain.training.folds import assign_folds
from retrain.training.history import MetricSeries, TrainingHistory
from retrain.training.logistic_regression import (
    STRENGTHS,
    TrainingSet,
    fit_path,
    refine,
)
from retrain.training.losses import cross_entropies_of_logits
from retrain.training.step_metrics import Examples

_FOLDS = 4
# The strength when no image can be held out, as with one image of each class.
_DEFAULT_STRENGTH = 1e-1
# More rows do not change the selection; they only make it slower.
_MAX_ROWS_TO_SELECT_FEATURES_BY = 5_000
_MAX_ROWS_TO_SELECT_STRENGTH_BY = 20_000
# Features of earlier stages must lower the sum of the cross entropies by so many of its standard
# errors. Otherwise, chance would select them for sets of a few images that they do not help.
_MIN_ADVANTAGE = 0.25
# Iterations of the last fit, to all rows. It starts near its optimum.
_MAX_LAST_ITERATIONS = 10


class SelectedHead(NamedTuple):
    """A head with the selected strength, and the held-out predictions at that strength.

    Attributes:
        head: The head, fitted to all training images. Its weights for the features of earlier
            stages are 0 if they were not selected.
        strength: The selected inverse regularisation strength.
        uses_stages: Whether features of earlier stages were selected.
        held_out_logits: Logits of images by heads not fitted to them, float32 [M, classes].
        held_out_class_ids: True classes of these images, int [M].
        history: Metrics of all strengths, on training and on held-out images.
    """

    head: Head
    strength: float
    uses_stages: bool
    held_out_logits: np.ndarray
    held_out_class_ids: np.ndarray
    history: TrainingHistory


class _FoldResult(NamedTuple):
    """Heads of all strengths, fitted without the images of one fold.

    Attributes:
        held_out_logits: Logits of the held-out images at each strength, float32 [M, classes].
        held_out_class_ids: True classes of these images, int [M].
        train_correct: Number of training images with the right label at each strength.
        train_losses: Sum of the cross entropies of the training images at each strength.
        train_count: Number of training images.
    """

    held_out_logits: list[np.ndarray]
    held_out_class_ids: np.ndarray
    train_correct: list[int]
    train_losses: list[float]
    train_count: int


class _Candidate(NamedTuple):
    """One strength, and how well it does on all held-out images."""

    errors: int
    loss: float
    strength: float
    held_out_logits: np.ndarray


class _FeatureSet(NamedTuple):
    """The training images with some of their features, and the folds that were fitted to them.

    Attributes:
        training: The images to fit to.
        folds: Heads of all strengths.
        candidates: Results of all strengths.
    """

    training: TrainingSet
    folds: list[_FoldResult]
    candidates: list[_Candidate]


def fit_with_selected_strength(
    training: TrainingSet, validation: Examples, *, seed: int = 0, validation_only: bool = False
) -> SelectedHead:
    """Fits a head with the features and the strength that suit held-out images best.

    Args:
        training: Training images. Each is held out of one fold, unless it is the only image of its
            class.
        validation: Further held-out images, with the same features; may be empty.
        seed: Random seed of the folds.
        validation_only: Whether to hold out only the validation images, which must not be empty
            then. This is for backbones that were fine-tuned on the training images.
    """
    # SciPy loads its own BLAS, whose threads can only be limited once it is loaded.
    import scipy.optimize  # noqa: F401

    subset = _select_rows(training, seed, _MAX_ROWS_TO_SELECT_STRENGTH_BY)
    # Converted once. Each fit of each fold would otherwise convert its part.
    converted = dataclasses.replace(subset, features=subset.features.astype(np.float32))
    # One product on several threads would mostly wait; the folds keep all processors busy.
    with threadpool_limits(1, "blas"):
        selected = _select_features(converted, validation, seed, validation_only=validation_only)
        class_ids = np.concatenate([fold.held_out_class_ids for fold in selected.folds])
        best = _select(selected.candidates, len(class_ids))
        *_, (_, head) = fit_path(selected.training, [s for s in STRENGTHS if s <= best.strength])
        if subset is not training:
            complete = training if selected.training.stage_widths else training.without_stages()
            head = refine(complete, head, best.strength, max_iterations=_MAX_LAST_ITERATIONS)
        head = head.pad(training.features.shape[1])
    history = _history(
        selected.folds, selected.candidates, best.strength, validation_only=validation_only
    )
    return SelectedHead(
        head=head,
        strength=best.strength,
        uses_stages=bool(selected.training.stage_widths),
        held_out_logits=best.held_out_logits,
        held_out_class_ids=class_ids,
        history=history,
    )


def _select_features(
    training: TrainingSet, validation: Examples, seed: int, *, validation_only: bool
) -> _FeatureSet:
    """Fits the folds to the features that suit held-out images best."""
    sets = [training]
    if training.stage_widths:
        few = _select_rows(training, seed, _MAX_ROWS_TO_SELECT_FEATURES_BY)
        step = 1 + len(validation[1]) // _MAX_ROWS_TO_SELECT_FEATURES_BY
        last_layer, complete = _fit_folds(
            [few.without_stages(), few],
            (validation[0][::step], validation[1][::step]),
            seed,
            validation_only=validation_only,
        )
        best = complete if _is_better(complete, last_layer) else last_layer
        if few is training and step == 1:
            return best
        sets = [training if best.training.stage_widths else training.without_stages()]
    (result,) = _fit_folds(sets, validation, seed, validation_only=validation_only)
    return result


def _is_better(complete: _FeatureSet, last_layer: _FeatureSet) -> bool:
    """Returns whether features of earlier stages are worth their risk."""
    differences = _smallest_losses(last_layer) - _smallest_losses(complete)
    if not len(differences):
        return False
    standard_error = np.sqrt(len(differences)) * differences.std()
    return bool(differences.sum() > _MIN_ADVANTAGE * standard_error)


def _smallest_losses(features: _FeatureSet) -> np.ndarray:
    """Returns the cross entropy of each held-out image at the best strength, float [M]."""
    best = min(features.candidates, key=lambda candidate: candidate.loss)
    class_ids = np.concatenate([fold.held_out_class_ids for fold in features.folds])
    return cross_entropies_of_logits(best.held_out_logits, class_ids)


def _fit_folds(
    sets: Sequence[TrainingSet], validation: Examples, seed: int, *, validation_only: bool
) -> list[_FeatureSet]:
    """Fits the folds to each of several sets of features of the same images."""
    held_out = _held_out_masks(sets[0], seed, validation_only=validation_only)

    def fit(number: int) -> _FoldResult:
        selected, fold = sets[number // len(held_out)], number % len(held_out)
        features, class_ids = (array[fold :: len(held_out)] for array in validation)
        features = features[:, : selected.features.shape[1]]
        return _fit_fold(selected, held_out[fold], (features, class_ids))

    count = len(sets) * len(held_out)
    folds = list(parallel_map(fit, range(count), min(processor_count(), count)))
    result = []
    for selected in sets:
        own_folds, folds = folds[: len(held_out)], folds[len(held_out) :]
        result.append(_FeatureSet(selected, own_folds, _evaluate_strengths(own_folds)))
    return result


def _held_out_masks(training: TrainingSet, seed: int, *, validation_only: bool) -> list[np.ndarray]:
    """Returns which training images each fold holds out, bool [images] each."""
    if validation_only:
        return [np.zeros(len(training.image_class_ids), bool)]
    groups = training.groups
    if groups is not None and len(np.unique(groups)) < len(groups):
        folds = assign_folds(training.image_class_ids, groups, _FOLDS, seed=seed)
        return [folds == fold for fold in range(_FOLDS)]
    ranks = _rank_within_class(training.image_class_ids, seed)
    counts = np.bincount(training.class_ids, minlength=training.class_count)
    # The only image of a class stays in every fold's training images.
    single = counts[training.image_class_ids] == training.variants
    return [(ranks % _FOLDS == fold) & ~single for fold in range(_FOLDS)]


def _fit_fold(training: TrainingSet, held_out: np.ndarray, validation: Examples) -> _FoldResult:
    """Fits heads of all strengths to the training images that are not held out.

    Args:
        training: All training images.
        held_out: Mask of the held-out images, bool [images].
        validation: Further held-out images.
    """
    features = (training.undistorted_features[held_out], validation[0])
    class_ids = np.concatenate([training.image_class_ids[held_out], validation[1]])
    fitted_to = training.select_images(~held_out)
    result = _FoldResult([], class_ids, [], [], len(fitted_to.image_class_ids))
    for _, head in fit_path(fitted_to):
        result.held_out_logits.append(np.concatenate([head.logits(part) for part in features]))
        train_logits = head.logits(fitted_to.undistorted_features)
        result.train_correct.append(
            int((train_logits.argmax(axis=1) == fitted_to.image_class_ids).sum())
        )
        result.train_losses.append(
            float(cross_entropies_of_logits(train_logits, fitted_to.image_class_ids).sum())
        )
    return result


def _evaluate_strengths(folds: Sequence[_FoldResult]) -> list[_Candidate]:
    class_ids = np.concatenate([fold.held_out_class_ids for fold in folds])
    candidates = []
    for number, strength in enumerate(STRENGTHS):
        logits = np.concatenate([fold.held_out_logits[number] for fold in folds])
        errors = int((logits.argmax(axis=1) != class_ids).sum())
        loss = float(cross_entropies_of_logits(logits, class_ids).sum())
        candidates.append(_Candidate(errors, loss, strength, logits))
    return candidates


def _select(candidates: Sequence[_Candidate], count: int) -> _Candidate:
    if not count:
        logging.warning(
            "No image could be held out to select the regularisation strength: each class has a "
            "single training image, and there are no validation images. C = %g is used.",
            _DEFAULT_STRENGTH,
        )
        return next(c for c in candidates if c.strength == _DEFAULT_STRENGTH)
    return min(candidates, key=lambda candidate: candidate.loss)


def _history(
    folds: Sequence[_FoldResult],
    candidates: Sequence[_Candidate],
    strength: float,
    *,
    validation_only: bool,
) -> TrainingHistory:
    held_out_count = sum(len(fold.held_out_class_ids) for fold in folds)
    train_count = sum(fold.train_count for fold in folds)
    train_correct = np.sum([fold.train_correct for fold in folds], axis=0)
    train_losses = np.sum([fold.train_losses for fold in folds], axis=0)
    validation = None
    if held_out_count:
        validation = MetricSeries(
            tuple((held_out_count - c.errors) / held_out_count for c in candidates),
            tuple(c.loss / held_out_count for c in candidates),
        )
    return TrainingHistory(
        STRENGTHS,
        MetricSeries(
            tuple((train_correct / train_count).tolist()),
            tuple((train_losses / train_count).tolist()),
        ),
        validation,
        strength,
        "validation" if validation_only else "held-out folds",
    )


def _select_rows(training: TrainingSet, seed: int, most_rows: int) -> TrainingSet:
    """Returns the training set, or a subset of its images with images of every class."""
    most = max(1, most_rows // training.variants)
    if len(training.image_class_ids) <= most:
        return training
    ranks = _rank_within_class(training.image_class_ids, seed)
    return training.select_images(np.sort(np.argsort(ranks, kind="stable")[:most]))


def _rank_within_class(class_ids: np.ndarray, seed: int) -> np.ndarray:
    """Returns the position of each image in a random order of its class, int64 [images]."""
    order = np.random.default_rng(seed).permutation(len(class_ids))
    ranks = np.empty(len(class_ids), np.int64)
    for class_id in np.unique(class_ids):
        members = order[class_ids[order] == class_id]
        ranks[members] = np.arange(len(members))
    return ranks

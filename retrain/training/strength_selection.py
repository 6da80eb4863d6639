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
from retrain.training.folds import hold_out
from retrain.training.history import TrainingHistory
from retrain.training.logistic_regression import STRENGTHS, fit, refine
from retrain.training.step_metrics import Examples
from retrain.training.training_set import TrainingSet
from retrain.training.validation_curve import ValidationCurve, measure_validation_curves

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

    subset = training.sample(_MAX_ROWS_TO_SELECT_STRENGTH_BY, seed=seed)
    # Converted once. Each fit of each fold would otherwise convert its part.
    converted = dataclasses.replace(subset, features=subset.features.astype(np.float32))
    # One product on several threads would mostly wait; the folds keep all processors busy.
    with threadpool_limits(1, "blas"):
        curve = _select_features(converted, validation, seed=seed, validation_only=validation_only)
        selected = _select_strength(curve)
        strength = STRENGTHS[selected]
        uses_stages = bool(curve.training.stage_widths)
        head = fit(curve.training, strength)
        if subset is not training:
            complete = training if uses_stages else training.without_stages()
            head = refine(complete, head, strength, max_iterations=_MAX_LAST_ITERATIONS)
    return SelectedHead(
        head=head.pad(training.features.shape[1]),
        strength=strength,
        uses_stages=uses_stages,
        held_out_logits=curve.logits[selected],
        held_out_class_ids=curve.class_ids,
        history=curve.history(selected, "validation" if validation_only else "held-out folds"),
    )


def _select_features(
    training: TrainingSet, validation: Examples, *, seed: int, validation_only: bool
) -> ValidationCurve:
    """Returns the validation curve of the features that suit held-out images best."""

    def measure(sets: Sequence[TrainingSet], validation: Examples) -> list[ValidationCurve]:
        class_ids, groups = sets[0].image_class_ids, sets[0].groups
        folds = [np.zeros(len(class_ids), bool)]
        if not validation_only:
            folds = hold_out(class_ids, groups, _FOLDS, seed=seed)
        return measure_validation_curves(sets, validation, folds)

    selected = training
    if training.stage_widths:
        few = training.sample(_MAX_ROWS_TO_SELECT_FEATURES_BY, seed=seed)
        step = 1 + len(validation[1]) // _MAX_ROWS_TO_SELECT_FEATURES_BY
        some = validation[0][::step], validation[1][::step]
        last_layer, complete = measure([few.without_stages(), few], some)
        uses_stages = is_better(complete, last_layer)
        if few is training and step == 1:
            return complete if uses_stages else last_layer
        selected = training if uses_stages else training.without_stages()
    (curve,) = measure([selected], validation)
    return curve


def is_better(complete: ValidationCurve, last_layer: ValidationCurve) -> bool:
    """Returns whether features of earlier stages are worth their risk.

    Args:
        complete: Validation curve with these features.
        last_layer: Validation curve with the features of the last layer only.
    """
    differences = last_layer.losses[last_layer.best()] - complete.losses[complete.best()]
    if not len(differences):
        return False
    standard_error = np.sqrt(len(differences)) * differences.std()
    return bool(differences.sum() > _MIN_ADVANTAGE * standard_error)


def _select_strength(curve: ValidationCurve) -> int:
    """Returns the index of the strength to use."""
    if len(curve.class_ids):
        return curve.best()
    logging.warning(
        "No image could be held out to select the regularisation strength: each class has a "
        "single training image, and there are no validation images. C = %g is used.",
        _DEFAULT_STRENGTH,
    )
    return STRENGTHS.index(_DEFAULT_STRENGTH)

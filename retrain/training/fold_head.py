"""Trains a head on some images as a run does, including all choices that a run makes."""

import dataclasses

import numpy as np

from retrain.runtimes.head import Head
from retrain.training import calibration, sgd
from retrain.training.class_weights import BALANCED
from retrain.training.folds import assign_folds
from retrain.training.strength_selection import fit_with_selected_strength
from retrain.training.training_set import TrainingSet
from retrain.training_options import HeadOptions

# Share of the images that calibrate a head trained by gradient descent: one of so many folds.
_CALIBRATION_FOLDS = 10


def fit_head(training: TrainingSet, options: HeadOptions) -> Head:
    """Trains a head. Nothing but the given images affects it.

    For logistic regression, cross-validation within the images selects features and strength, and
    calibrates the scores. For gradient descent, a tenth of the images is held out to calibrate,
    as the validation split of a run is.

    Args:
        training: The images. Every class must occur.
        options: How to train the head.

    Raises:
        UserError: If gradient descent diverges.
    """
    if options.solver == "sgd":
        return _fit_by_sgd(training, options)
    nothing = (training.features[:0], training.class_ids[:0])
    selected = fit_with_selected_strength(training, nothing, seed=options.seed)
    if not options.calibrate:
        return selected.head
    return calibration.calibrate(
        selected.head, selected.held_out_logits, selected.held_out_class_ids
    )


def _fit_by_sgd(training: TrainingSet, options: HeadOptions) -> Head:
    class_ids = training.image_class_ids
    held_out = np.zeros(len(class_ids), bool)
    if options.calibrate:
        groups = np.arange(len(class_ids)) if training.groups is None else training.groups
        held_out = assign_folds(class_ids, groups, _CALIBRATION_FOLDS, seed=options.seed) == 0
    fitted_to = training.select_images(~held_out)
    head = sgd.train(
        (fitted_to.features, fitted_to.class_ids),
        (training.features[:0], training.class_ids[:0]),
        training.class_count,
        # Nothing observes the training, so nothing needs to be evaluated along the way.
        dataclasses.replace(options, eval_step_interval=options.steps),
        class_shares=None if options.class_weights == BALANCED else training.class_shares,
    )
    if not held_out.any():
        return head
    logits = head.logits(training.undistorted_features[held_out])
    return calibration.calibrate(head, logits, class_ids[held_out])

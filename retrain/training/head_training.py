"""Trains a head on computed features with the configured solver, and calibrates it."""

import contextlib
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.features import Bottlenecks
from retrain.config import TrainingConfig
from retrain.data.groups import number_groups
from retrain.data.splits import TRAINING, VALIDATION
from retrain.runtimes.head import Head
from retrain.training import calibration, class_weights
from retrain.training.history import TrainingHistory
from retrain.training.sgd_run import StepObserver, ignore_steps, train_by_sgd
from retrain.training.step_metrics import Examples, measure
from retrain.training.strength_selection import SelectedHead, fit_with_selected_strength
from retrain.training.summaries import RunSummaries
from retrain.training.training_set import TrainingSet


class TrainedHead(NamedTuple):
    """A trained head.

    Attributes:
        head: The head, calibrated if the config says so.
        history: Metrics along the training.
        summaries: Folder with TensorBoard summaries, if any were written.
    """

    head: Head
    history: TrainingHistory
    summaries: Path | None


def train_head(
    config: TrainingConfig,
    backbone: Backbone,
    features: Bottlenecks,
    *,
    run_name: str = "",
    validation_only: bool = False,
    observe_steps: StepObserver = ignore_steps,
) -> TrainedHead:
    """Trains a head on the training split.

    Args:
        config: Configuration of the run. TensorBoard summaries are written if it asks for them.
        backbone: The backbone that computed the features.
        features: Features of all splits.
        run_name: Suffix of the summaries' folder, to tell several heads of a run apart.
        validation_only: Whether only validation images select the strength of the regression, as
            for a backbone that was fine-tuned on training images. If there are no validation
            images, cross-validation selects the strength, and a warning says so.
        observe_steps: Observer of the steps of gradient descent.

    Raises:
        UserError: If training diverges, a file cannot be written, or --class_weights contains an
            unknown label.
    """
    with contextlib.ExitStack() as stack:
        summaries = None
        if config.output.summaries_dir:
            summaries = stack.enter_context(
                RunSummaries(config.output.summaries_dir, name=run_name)
            )
        shares = _class_shares(config, features)
        if config.head.solver == "sgd":
            on_step = observe_steps(backbone, features)
            head, history = train_by_sgd(
                config, backbone, features, shares, summaries=summaries, on_step=on_step
            )
            validation, held_out_class_ids = _validation_examples(features)
            held_out_logits = head.logits(validation)
        else:
            selected = _train_by_regression(
                config,
                features,
                shares,
                stage_widths=backbone.stage_widths,
                summaries=summaries,
                validation_only=validation_only,
            )
            head, history = selected.head, selected.history
            held_out_logits = selected.held_out_logits
            held_out_class_ids = selected.held_out_class_ids
    if config.head.calibrate:
        head = calibration.calibrate(head, held_out_logits, held_out_class_ids)
    return TrainedHead(head, history, summaries.folder if summaries else None)


def _class_shares(config: TrainingConfig, features: Bottlenecks) -> np.ndarray:
    dataset = features.dataset
    counts = np.bincount(features.split(TRAINING).class_ids, minlength=len(dataset.labels))
    return class_weights.compute_shares(
        config.head.class_weights, dataset.labels, counts, folders=dataset.folders
    )


def _validation_examples(features: Bottlenecks) -> Examples:
    validation = features.split(VALIDATION)
    return validation.vectors, validation.class_ids


def _train_by_regression(
    config: TrainingConfig,
    features: Bottlenecks,
    class_shares: np.ndarray,
    *,
    stage_widths: tuple[int, ...],
    summaries: RunSummaries | None,
    validation_only: bool,
) -> SelectedHead:
    training, validation = features.split(TRAINING), _validation_examples(features)
    examples = training.examples()
    if validation_only and not len(validation[1]):
        validation_only = False
        logging.warning(
            "The backbone was fine-tuned, and there are no validation images: cross-validation on "
            "the training images selects the head. If the backbone was fine-tuned on these same "
            "images, the scores are too high; set --validation_percentage or --validation_dir."
        )
    selected = fit_with_selected_strength(
        TrainingSet(
            features=examples[0],
            class_ids=examples[1],
            class_count=len(class_shares),
            class_shares=class_shares,
            variants=training.variants.shape[1],
            stage_widths=stage_widths,
            groups=number_groups(training.images),
        ),
        validation,
        seed=config.head.seed,
        validation_only=validation_only,
    )
    _log_selection(selected, validation_only=validation_only)
    metrics = measure(0, selected.head, examples, validation if len(validation[1]) else None)
    logging.info("Logistic regression: %s.", metrics.describe())
    if summaries:
        summaries.add(metrics)
        summaries.add_history(selected.history, "by_strength")
    return selected


def _log_selection(selected: SelectedHead, *, validation_only: bool) -> None:
    count = len(selected.held_out_class_ids)
    right = selected.held_out_logits.argmax(axis=1) == selected.held_out_class_ids
    if count:
        logging.info(
            "Selected by %s: C = %g%s, with which %d of %d images get the right label.",
            "validation images" if validation_only else "cross-validation",
            selected.strength,
            " and features of earlier stages" if selected.uses_stages else "",
            right.sum(),
            count,
        )

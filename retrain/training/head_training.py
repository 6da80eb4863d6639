"""Trains a head on computed features with the configured solver, and calibrates it."""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.features import Bottlenecks
from retrain.bottlenecks.fresh_features import FreshFeatures
from retrain.config import TrainingConfig
from retrain.data.groups import number_groups
from retrain.data.splits import TRAINING, VALIDATION
from retrain.runtimes.head import Head
from retrain.training import calibration, class_weights, sgd
from retrain.training.class_weights import BALANCED
from retrain.training.history import HistoryRecorder, TrainingHistory
from retrain.training.step_metrics import Examples, StepMetrics, measure
from retrain.training.strength_selection import SelectedHead, fit_with_selected_strength
from retrain.training.summaries import RunSummaries
from retrain.training.training_set import TrainingSet

_PROGRESS_LINES = 10

# Receives the number of each step of gradient descent, and the head after it.
OnStep: TypeAlias = Callable[[int, Head], None]
# Returns what receives the steps of a training on these features of this backbone.
StepObserver: TypeAlias = Callable[[Backbone, Bottlenecks], OnStep]


def ignore_steps(backbone: Backbone, features: Bottlenecks) -> OnStep:
    """Observes nothing; a `StepObserver`."""
    return lambda step, head: None


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


class _Solution(NamedTuple):
    """A head before calibration.

    Attributes:
        head: The head.
        history: Metrics along the training.
        held_out_logits: Logits of images that the head was not trained on, float32 [N, classes].
        held_out_class_ids: True classes of these images, int [N].
    """

    head: Head
    history: TrainingHistory
    held_out_logits: np.ndarray
    held_out_class_ids: np.ndarray


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
            solution = _train_by_sgd(
                config, backbone, features, shares, summaries=summaries, on_step=on_step
            )
        else:
            solution = _train_by_regression(
                config,
                features,
                shares,
                stage_widths=backbone.stage_widths,
                summaries=summaries,
                validation_only=validation_only,
            )
    head = solution.head
    if config.head.calibrate:
        head = calibration.calibrate(head, solution.held_out_logits, solution.held_out_class_ids)
    return TrainedHead(head, solution.history, summaries.folder if summaries else None)


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
) -> _Solution:
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
    logging.info("Logistic regression: %s.", _metrics_text(metrics))
    if summaries:
        summaries.add(metrics)
        summaries.add_history(selected.history, "by_strength")
    return _Solution(
        selected.head, selected.history, selected.held_out_logits, selected.held_out_class_ids
    )


def _log_selection(selected: SelectedHead, *, validation_only: bool) -> None:
    count = len(selected.held_out_class_ids)
    right = selected.held_out_logits.argmax(axis=1) == selected.held_out_class_ids
    if count:
        logging.info(
            "%s: %d of %d images get the right label (C = %g%s).",
            "Validation" if validation_only else "Cross-validation",
            right.sum(),
            count,
            selected.strength,
            ", with features of earlier stages" if selected.uses_stages else "",
        )


def _train_by_sgd(
    config: TrainingConfig,
    backbone: Backbone,
    features: Bottlenecks,
    class_shares: np.ndarray,
    *,
    summaries: RunSummaries | None,
    on_step: OnStep,
) -> _Solution:
    training, validation = features.split(TRAINING), _validation_examples(features)
    recorder = HistoryRecorder()
    observers = [_ProgressLog(config.head.steps).add, recorder.add]
    if summaries:
        observers.append(summaries.add)

    def on_evaluation(metrics: StepMetrics) -> None:
        for observe in observers:
            observe(metrics)

    with contextlib.ExitStack() as stack:
        batch_features = None
        if config.distortions.fresh:
            fresh = FreshFeatures(training.images, backbone, features.engine, config.distortions)
            batch_features = stack.enter_context(fresh).compute
        head = sgd.train(
            training.examples(),
            validation,
            len(class_shares),
            config.head,
            class_shares=None if config.head.class_weights == BALANCED else class_shares,
            batch_features=batch_features,
            on_evaluation=on_evaluation,
            on_step=on_step,
        )
    return _Solution(head, recorder.history(), head.logits(validation[0]), validation[1])


class _ProgressLog:
    """Logs the metrics about every tenth of the steps."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._next = 0.0

    def add(self, metrics: StepMetrics) -> None:
        done = metrics.step + 1
        if done < self._next and done < self._steps:
            return
        self._next = done + self._steps / _PROGRESS_LINES
        logging.info("Step %d of %d: %s.", done, self._steps, _metrics_text(metrics))


def _metrics_text(metrics: StepMetrics) -> str:
    text = (
        f"train accuracy = {100 * metrics.train_accuracy:.1f}%, "
        f"cross entropy = {metrics.train_cross_entropy:.4f}"
    )
    if metrics.validation_accuracy is not None:
        text += f", validation accuracy = {100 * metrics.validation_accuracy:.1f}%"
    return text

"""Fine-tunes a backbone, and selects it or the pretrained one by validation performance."""

import dataclasses
import logging
from typing import NamedTuple

from retrain.backbones.backbone import Backbone
from retrain.config import TrainingConfig
from retrain.data.dataset import Dataset
from retrain.data.splits import VALIDATION
from retrain.errors import UserError
from retrain.fine_tuning import layers
from retrain.fine_tuning.backbone_comparison import compare_backbones
from retrain.fine_tuning.result import FineTuningResult
from retrain.fine_tuning.tuned_backbone import fine_tune_backbone
from retrain.system.phase_timer import PhaseTimer
from retrain.training.engine_plan import EnginePlan
from retrain.training.history import TrainingHistory
from retrain.training.results import HeadResult, Results
from retrain.training.sgd_run import StepObserver, ignore_steps
from retrain.training.summaries import RunSummaries
from retrain.training.train import train_and_evaluate
from retrain.training_options import FineTuningOptions


class Selection(NamedTuple):
    """The selected backbone with its heads.

    Attributes:
        config: Configuration that describes the selected classifier. Its fine-tuning options are
            the defaults if the pretrained backbone was selected.
        backbone: The selected backbone.
        results: The heads trained on its features.
        fine_tuning: How the fine-tuned backbone compares with the pretrained one.
    """

    config: TrainingConfig
    backbone: Backbone
    results: Results
    fine_tuning: FineTuningResult


def check(options: FineTuningOptions, backbone: Backbone, dataset: Dataset) -> None:
    """Raises UserError if the backbone cannot be fine-tuned as the options say.

    Args:
        options: Fine-tuning options.
        backbone: The pretrained backbone.
        dataset: All images.
    """
    if options.epochs:
        _require_validation_images(len(dataset.split(VALIDATION)))
        layers.check(backbone, options.layers)


def select_fine_tuned(
    config: TrainingConfig,
    backbone: Backbone,
    results: Results,
    *,
    plan: EnginePlan,
    timer: PhaseTimer,
    observe_steps: StepObserver = ignore_steps,
) -> Selection:
    """Fine-tunes the backbone, and selects the fine-tuned or the pretrained one.

    The fine-tuned backbone is selected if it makes no more errors on the validation split, and its
    cross entropy there is lower with a confidence of 95 %, by a one-sided paired t-test. On a small
    validation split, a backbone that is no better would otherwise often seem to be. The test split
    is not used.

    Args:
        config: Configuration of the run.
        backbone: The pretrained backbone.
        results: The heads trained on its features.
        plan: The engines of the run.
        timer: Timer of the run's phases.
        observe_steps: Observer of the steps of gradient descent.

    Raises:
        UserError: If the images or the options cannot be used.
    """
    # Reading the images may have shown that none of the validation images is readable.
    _require_validation_images(results.primary.validation.count)
    with timer.phase("fine_tuning"):
        tuned_backbone, history = fine_tune_backbone(config, backbone, results.primary)
    _write_summaries(config, history)
    logging.info("Training a head on the fine-tuned backbone.")
    tuned = train_and_evaluate(
        config,
        tuned_backbone,
        results.primary.features.dataset,
        plan,
        timer=timer,
        warn_duplicates=False,
        observe_steps=observe_steps,
    )
    logging.info("Training a head on the pretrained backbone for comparison.")
    outcome = compare_backbones(config, backbone, pretrained=results, tuned=tuned, history=history)
    _log(outcome)
    if outcome.kept:
        return Selection(config, tuned_backbone, _with_unreadable(tuned, results), outcome)
    plain = dataclasses.replace(config, fine_tuning=FineTuningOptions())
    return Selection(plain, backbone, results, outcome)


def _log(outcome: FineTuningResult) -> None:
    gain = outcome.gain
    logging.info(
        "Fine-tuning %s: of %d validation images, %d get a wrong label with it and %d without it; "
        "the cross entropy is %.4f with it, %s by %.4f ± %.4f "
        "(required for 95 %% confidence: lower by %.4f).",
        "helps and is kept" if outcome.kept else "does not clearly help and is discarded",
        outcome.tuned.count,
        len(outcome.tuned.misclassified),
        len(outcome.baseline.misclassified),
        outcome.tuned.cross_entropy,
        "lower" if gain.mean >= 0 else "higher",
        abs(gain.mean),
        gain.standard_error,
        gain.required,
    )


def _write_summaries(config: TrainingConfig, history: TrainingHistory) -> None:
    if config.output.summaries_dir:
        with RunSummaries(config.output.summaries_dir, name="fine_tuning") as summaries:
            summaries.add_history(history, "by_epoch")


def _with_unreadable(tuned: Results, pretrained: Results) -> Results:
    """Returns `tuned` with the unreadable images of `pretrained`, which were not read again."""
    unreadable = {
        path: reason
        for result in pretrained.all()
        for path, reason in result.features.unreadable.items()
    }

    def add(result: HeadResult) -> HeadResult:
        features = dataclasses.replace(result.features, unreadable=unreadable)
        return dataclasses.replace(result, features=features)

    return Results(add(tuned.primary), add(tuned.int8) if tuned.int8 else None)


def _require_validation_images(count: int) -> None:
    if not count:
        raise UserError(
            "--fine_tune_epochs needs validation images to decide whether fine-tuning helps; set "
            "--validation_percentage or --validation_dir"
        )

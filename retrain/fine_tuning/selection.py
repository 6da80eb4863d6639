"""Fine-tunes a backbone, and selects it or the pretrained one by validation performance."""

import dataclasses
import logging
from typing import NamedTuple

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.config import TrainingConfig
from retrain.data.dataset import Dataset
from retrain.data.splits import VALIDATION
from retrain.errors import UserError
from retrain.fine_tuning import layers
from retrain.fine_tuning.result import FineTuningResult
from retrain.fine_tuning.tuned_backbone import fine_tune_backbone
from retrain.runtimes.head import Head
from retrain.system.phase_timer import PhaseTimer
from retrain.training.engine_plan import EnginePlan
from retrain.training.evaluation import Evaluation, evaluate
from retrain.training.head_training import StepObserver, ignore_steps, train_head
from retrain.training.history import TrainingHistory
from retrain.training.losses import cross_entropies
from retrain.training.results import HeadResult, Results
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
    gain in cross entropy exceeds the gain's standard error. On a small validation split, a
    backbone that is no better would otherwise often seem to be. The test split is not used.

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
    outcome = _compare_all(config, backbone, pretrained=results, tuned=tuned, history=history)
    logging.info(
        "Fine-tuning %s: of %d validation images, %d get a wrong label with it and %d without it; "
        "the cross entropy is %.4f with it, %s by %.4f ± %.4f.",
        "helps and is kept" if outcome.kept else "does not clearly help and is discarded",
        outcome.tuned.count,
        len(outcome.tuned.misclassified),
        len(outcome.baseline.misclassified),
        outcome.tuned.cross_entropy,
        "lower" if outcome.gain >= 0 else "higher",
        abs(outcome.gain),
        outcome.standard_error,
    )
    if outcome.kept:
        return Selection(config, tuned_backbone, _with_unreadable(tuned, results), outcome)
    plain = dataclasses.replace(config, fine_tuning=FineTuningOptions())
    return Selection(plain, backbone, results, outcome)


def _write_summaries(config: TrainingConfig, history: TrainingHistory) -> None:
    if config.output.summaries_dir:
        with RunSummaries(config.output.summaries_dir, name="fine_tuning") as summaries:
            summaries.add_history(history, "by_epoch")


def _compare_all(
    config: TrainingConfig,
    backbone: Backbone,
    *,
    pretrained: Results,
    tuned: Results,
    history: TrainingHistory,
) -> FineTuningResult:
    """Compares the backbones for each engine; fine-tuning is kept if it helps with all."""

    def compare(before: HeadResult, after: HeadResult) -> FineTuningResult:
        baseline_head = _train_baseline_head(config, backbone, before)
        return _compare(before, baseline_head, after, history)

    outcome = compare(pretrained.primary, tuned.primary)
    if pretrained.int8 is None or tuned.int8 is None:
        return outcome
    int8_helps = compare(pretrained.int8, tuned.int8).kept
    if not int8_helps:
        logging.info("With int8 features, fine-tuning does not clearly help.")
    return outcome._replace(kept=outcome.kept and int8_helps)


def _compare(
    before: HeadResult, baseline_head: Head, after: HeadResult, history: TrainingHistory
) -> FineTuningResult:
    tuned, tuned_losses = _evaluate(after.head, after)
    baseline, baseline_losses = _evaluate(baseline_head, before)
    gains = baseline_losses - tuned_losses
    gain = float(gains.mean())
    standard_error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else np.inf
    fewer_errors = len(tuned.misclassified) <= len(baseline.misclassified)
    return FineTuningResult(
        kept=fewer_errors and gain > standard_error,
        history=history,
        tuned=tuned,
        baseline=baseline,
        gain=gain,
        standard_error=standard_error,
        test_tuned=after.test.accuracy,
        test_baseline=before.test.accuracy,
        baseline_out_of_fold=before.out_of_fold,
    )


def _train_baseline_head(config: TrainingConfig, backbone: Backbone, before: HeadResult) -> Head:
    """Trains a head for the pretrained backbone just as the fine-tuned backbone's head is trained.

    The validation split selects the strength and the temperature of the fine-tuned backbone's
    head, so that its validation loss is optimistic. A fair baseline has the same advantage.
    """
    if config.head.solver == "sgd":
        return before.head  # Nothing is selected.
    silent = dataclasses.replace(
        config, output=dataclasses.replace(config.output, summaries_dir=None)
    )
    return train_head(silent, backbone, before.features, validation_only=True).head


def _evaluate(head: Head, result: HeadResult) -> tuple[Evaluation, np.ndarray]:
    """Evaluates a head on the validation split; also returns each image's loss, in nats."""
    validation = result.features.split(VALIDATION)
    probabilities = head.probabilities(validation.vectors)
    return (
        evaluate(probabilities, validation.class_ids),
        cross_entropies(probabilities, validation.class_ids),
    )


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

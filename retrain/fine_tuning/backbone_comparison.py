"""Compares a fine-tuned backbone with the pretrained one on the validation split."""

import dataclasses
import logging

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.config import TrainingConfig
from retrain.data.groups import number_groups
from retrain.data.splits import VALIDATION
from retrain.fine_tuning.paired_gain import measure_paired_gain
from retrain.fine_tuning.result import FineTuningResult
from retrain.runtimes.head import Head
from retrain.training.evaluation import Evaluation, evaluate
from retrain.training.head_training import train_head
from retrain.training.history import TrainingHistory
from retrain.training.losses import cross_entropies
from retrain.training.results import HeadResult, Results


def compare_backbones(
    config: TrainingConfig,
    backbone: Backbone,
    *,
    pretrained: Results,
    tuned: Results,
    history: TrainingHistory,
) -> FineTuningResult:
    """Compares the backbones for each engine; fine-tuning is kept if it helps with all.

    Args:
        config: Configuration of the run.
        backbone: The pretrained backbone.
        pretrained: The heads trained on its features.
        tuned: The heads trained on the features of the fine-tuned backbone.
        history: Metrics of fine-tuning, by epochs.
    """

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
    images = after.features.split(VALIDATION).images
    gain = measure_paired_gain(baseline_losses, tuned_losses, number_groups(images))
    has_no_more_errors = len(tuned.misclassified) <= len(baseline.misclassified)
    return FineTuningResult(
        kept=has_no_more_errors and gain.is_certain,
        history=history,
        tuned=tuned,
        baseline=baseline,
        gain=gain,
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

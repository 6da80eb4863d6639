"""Trains the head of a run by gradient descent, and records the steps."""

import contextlib
import logging
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.features import Bottlenecks
from retrain.bottlenecks.fresh_features import FreshFeatures
from retrain.config import TrainingConfig
from retrain.data.splits import TRAINING, VALIDATION
from retrain.runtimes.head import Head
from retrain.training import sgd
from retrain.training.class_weights import BALANCED
from retrain.training.history import HistoryRecorder, TrainingHistory
from retrain.training.sgd import OnStep
from retrain.training.step_metrics import StepMetrics
from retrain.training.summaries import RunSummaries

_PROGRESS_LINES = 10

# Returns what receives the steps of a training on these features of this backbone.
StepObserver: TypeAlias = Callable[[Backbone, Bottlenecks], OnStep]


def ignore_steps(backbone: Backbone, features: Bottlenecks) -> OnStep:
    """Observes nothing; a `StepObserver`."""
    return lambda step, head: None


def train_by_sgd(
    config: TrainingConfig,
    backbone: Backbone,
    features: Bottlenecks,
    class_shares: np.ndarray,
    *,
    summaries: RunSummaries | None,
    on_step: OnStep,
) -> tuple[Head, TrainingHistory]:
    """Returns a head, and its metrics along the training.

    Args:
        config: Configuration of the run.
        backbone: The backbone that computed the features, and computes those of fresh distortions.
        features: Features of all splits.
        class_shares: Share of each class in the loss, float [classes] with sum 1.
        summaries: Receives the metrics, too.
        on_step: Receives each step.

    Raises:
        UserError: If training diverges, or a file cannot be written.
    """
    training, validation = features.split(TRAINING), features.split(VALIDATION)
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
            (validation.vectors, validation.class_ids),
            len(class_shares),
            config.head,
            class_shares=None if config.head.class_weights == BALANCED else class_shares,
            batch_features=batch_features,
            on_evaluation=on_evaluation,
            on_step=on_step,
        )
    return head, recorder.history()


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
        logging.info("Step %d of %d: %s.", done, self._steps, metrics.describe())

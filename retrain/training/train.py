"""Trains the head of a run and tests it, and shows on the way how it goes."""

import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.compute import Bottlenecks, Part, compute_bottlenecks
from retrain.bottlenecks.fresh_features import FreshFeatures
from retrain.config import TrainingConfig
from retrain.data.dataset import Dataset
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.runtimes.head import Head
from retrain.system.phase_timer import PhaseTimer
from retrain.training import calibration, class_weights, logistic_regression
from retrain.training.class_weights import BALANCED
from retrain.training.evaluation import evaluate
from retrain.training.history import Recorder, TrainingHistory
from retrain.training.logistic_regression import Fitted
from retrain.training.results import Trained
from retrain.training.sgd import Progress, look, train
from retrain.training.summaries import RunSummaries

# As many lines as the progress takes.
_LINES = 10

# What a step of gradient descent and the head after it are given to.
OnStep: TypeAlias = Callable[[int, Head], None]
# What is told of each step of heads for the features of a backbone.
StepObserver: TypeAlias = Callable[[Backbone, Bottlenecks], OnStep]


def ignore_steps(backbone: Backbone, features: Bottlenecks) -> OnStep:
    """Observes nothing; a `StepObserver`."""
    return lambda step, head: None


def train_and_test(
    config: TrainingConfig,
    backbone: Backbone,
    dataset: Dataset,
    engines: Sequence[str],
    timer: PhaseTimer,
    told: bool = False,
    observe_steps: StepObserver = ignore_steps,
) -> dict[str, Trained]:
    """Returns for each of the engines a head trained on its features, with its test.

    Args:
        config: of the run.
        backbone: the network.
        dataset: all images.
        engines: their names.
        timer: of the run.
        told: whether the user knows already which images are odd.
        observe_steps: is given each step of gradient descent, and the head after it.

    Raises:
        UserError: the user must change something.
    """
    trained: dict[str, Trained] = {}
    for engine in engines:
        run = engine if len(engines) > 1 else ""
        if run:
            logging.info("With features of %s:", run)
        if backbone.fine_tuned:
            run = f"fine_tuned_{run}".rstrip("_")
        with timer.phase("bottlenecks"):
            features = compute_bottlenecks(
                dataset,
                backbone,
                engine,
                config.bottleneck_dir,
                config.strict,
                config.distortions,
                told=told or bool(trained),
            )
        logging.info("%s", features.summary())
        trained[engine] = _trained_and_tested(config, backbone, features, timer, run, observe_steps)
        # What could not be read is not tried and told of again.
        dataset = features.dataset
    return trained


def _trained_and_tested(
    config: TrainingConfig,
    backbone: Backbone,
    features: Bottlenecks,
    timer: PhaseTimer,
    run: str,
    observe_steps: StepObserver,
) -> Trained:
    with timer.phase("training"):
        learned = train_head(config, backbone, features, run, backbone.fine_tuned, observe_steps)
        head = learned.head
    with timer.phase("evaluation"):
        tested = features.part(TEST).sample(config.test_batch_size, config.head.seed)
        parts = {VALIDATION: features.part(VALIDATION), TEST: tested}
        evaluations = {
            name: evaluate(head.probabilities(part.vectors), part.class_ids)
            for name, part in parts.items()
        }
    return Trained(features, head, tested, evaluations, learned.history, learned.summaries)


class Learned(NamedTuple):
    """What came out of the training of a head.

    Attributes:
        head: calibrated where that was asked for.
        history: how it went.
        summaries: the folder of its summaries, where there are any.
    """

    head: Head
    history: TrainingHistory
    summaries: Path | None


def train_head(
    config: TrainingConfig,
    backbone: Backbone,
    features: Bottlenecks,
    run: str = "",
    apart: bool = False,
    observe_steps: StepObserver = ignore_steps,
) -> Learned:
    """Trains a head on the training part, as the config says.

    Summaries are written on the way.

    Args:
        config: of the run.
        backbone: that the features come from.
        features: of all parts.
        run: what the summaries are called beside the time, where there are several.
        apart: whether the validation part alone chooses the regression's strength, as for a
            network that has learned from the training part itself.
        observe_steps: is given each step of gradient descent, and the head after it.

    Raises:
        UserError: the numbers grew beyond all bounds, something cannot be written, or the weights
            of the classes are not of these labels.
    """
    training, validation = features.part(TRAINING), features.part(VALIDATION)
    labels = features.dataset.labels
    counts = np.bincount(training.class_ids, minlength=len(labels))
    shares = class_weights.shares(
        config.head.class_weights, labels, counts, features.dataset.folders
    )
    with contextlib.ExitStack() as stack:
        summaries = None
        if config.output.summaries_dir:
            summaries = stack.enter_context(RunSummaries(config.output.summaries_dir, run))
        if config.head.solver == "logistic_regression":
            fitted = _regress(config, training, validation, shares, summaries, apart)
            head, unseen, truth, history = fitted.head, fitted.unseen, fitted.truth, fitted.history
        else:
            head, history = _descend(
                config, backbone, features, shares, summaries, observe_steps(backbone, features)
            )
            unseen, truth = head.logits(validation.vectors), validation.class_ids
    if config.head.calibrate:
        head = calibration.calibrated(head, unseen, truth)
    return Learned(head, history, summaries.folder if summaries else None)


def _regress(
    config: TrainingConfig,
    training: Part,
    validation: Part,
    shares: np.ndarray,
    summaries: RunSummaries | None,
    apart: bool,
) -> Fitted:
    examples = training.examples()
    watched = (validation.vectors, validation.class_ids)
    variants = training.variants.shape[1]
    seed = config.head.seed
    fitted = logistic_regression.train(
        examples, watched, len(shares), shares, variants, seed, apart
    )
    progress = look(0, fitted.head, examples, watched if len(watched[1]) else None)
    logging.info("Logistic regression: %s.", _text(progress))
    if summaries:
        summaries.add(progress)
        summaries.add_history(fitted.history, "by_strength")
    return fitted


def _descend(
    config: TrainingConfig,
    backbone: Backbone,
    features: Bottlenecks,
    shares: np.ndarray,
    summaries: RunSummaries | None,
    on_step: OnStep,
) -> tuple[Head, TrainingHistory]:
    training, validation = features.part(TRAINING), features.part(VALIDATION)
    recorder = Recorder()
    watchers = [_Lines(config.head.steps).show, recorder.add]
    if summaries:
        watchers.append(summaries.add)
    with contextlib.ExitStack() as stack:

        def show(progress: Progress) -> None:
            for watch in watchers:
                watch(progress)

        features_of = None
        if config.distortions.fresh:
            fresh = FreshFeatures(training.images, backbone, features.engine, config.distortions)
            features_of = stack.enter_context(fresh).of
        head = train(
            training.examples(),
            (validation.vectors, validation.class_ids),
            len(shares),
            config.head,
            shares=None if config.head.class_weights == BALANCED else shares,
            features_of=features_of,
            on_evaluation=show,
            on_step=on_step,
        )
    return head, recorder.history()


class _Lines:
    """Prints every tenth of the way."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._next = 0.0

    def show(self, progress: Progress) -> None:
        done = progress.step + 1
        if done < self._next and done < self._steps:
            return
        self._next = done + self._steps / _LINES
        logging.info("Step %d of %d: %s.", done, self._steps, _text(progress))


def _text(progress: Progress) -> str:
    text = (
        f"train accuracy = {100 * progress.train_accuracy:.1f}%, "
        f"cross entropy = {progress.train_cross_entropy:.4f}"
    )
    if progress.validation_accuracy is not None:
        text += f", validation accuracy = {100 * progress.validation_accuracy:.1f}%"
    return text

"""Trains the head of a run and tests it, and shows on the way how it goes."""

import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain import bottlenecks, calibration, class_weights, logistic_regression, outputs, report
from retrain.backbones.engines import INT8
from retrain.backbones.spec import Backbone
from retrain.bottlenecks import Bottlenecks, Part
from retrain.class_weights import BALANCED
from retrain.clock import Clock
from retrain.config import TrainingConfig
from retrain.course import Course, Recorder
from retrain.evaluation import evaluate
from retrain.export.assemble import assemble
from retrain.fresh_features import FreshFeatures
from retrain.head import Head, Progress, look, train
from retrain.images import Dataset
from retrain.logistic_regression import Fitted
from retrain.splits import TEST, TRAINING, VALIDATION
from retrain.summaries import RunSummaries
from retrain.trained import Trained

# As many lines as the progress takes.
_LINES = 10


def train_and_test(
    config: TrainingConfig,
    backbone: Backbone,
    dataset: Dataset,
    engines: Sequence[str],
    clock: Clock,
    told: bool = False,
) -> dict[str, Trained]:
    """Returns for each of the engines a head trained on its features, with its test.

    Args:
        config: of the run.
        backbone: the network.
        dataset: all pictures.
        engines: their names.
        clock: of the run.
        told: whether the user knows already which pictures are odd.

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
        with clock.phase("bottlenecks"):
            features = bottlenecks.compute(
                dataset,
                backbone,
                engine,
                config.bottleneck_dir,
                config.strict,
                config.distortions,
                told=told or bool(trained),
            )
        logging.info("%s", report.bottlenecks_line(features))
        trained[engine] = _trained_and_tested(config, backbone, features, clock, run)
        # What could not be read is not tried and told of again.
        dataset = features.dataset
    return trained


def _trained_and_tested(
    config: TrainingConfig, backbone: Backbone, features: Bottlenecks, clock: Clock, run: str
) -> Trained:
    with clock.phase("training"):
        learned = train_head(config, backbone, features, run, backbone.fine_tuned)
        head = learned.head
    with clock.phase("evaluation"):
        tested = features.part(TEST).sample(config.test_batch_size, config.head.seed)
        parts = {VALIDATION: features.part(VALIDATION), TEST: tested}
        evaluations = {
            name: evaluate(head.probabilities(part.vectors), part.categories)
            for name, part in parts.items()
        }
    return Trained(features, head, tested, evaluations, learned.course, learned.summaries)


class Learned(NamedTuple):
    """What came out of the training of a head.

    Attributes:
        head: calibrated where that was asked for.
        course: how it went.
        summaries: the folder of its summaries, where there are any.
    """

    head: Head
    course: Course
    summaries: Path | None


def train_head(
    config: TrainingConfig,
    backbone: Backbone,
    features: Bottlenecks,
    run: str = "",
    apart: bool = False,
) -> Learned:
    """Trains a head on the training part, as the config says.

    Summaries and classifiers that are not trained to the end are written on the way.

    Args:
        config: of the run.
        backbone: that the features come from.
        features: of all parts.
        run: what the summaries are called beside the time, where there are several.
        apart: whether the validation part alone chooses the regression's strength, as for a
            network that has learned from the training part itself.

    Raises:
        UserError: the numbers grew beyond all bounds, something cannot be written, or the weights
            of the classes are not of these labels.
    """
    training, validation = features.part(TRAINING), features.part(VALIDATION)
    labels = features.dataset.labels
    counts = np.bincount(training.categories, minlength=len(labels))
    shares = class_weights.shares(
        config.head.class_weights, labels, counts, features.dataset.folders
    )
    with contextlib.ExitStack() as stack:
        summaries = None
        if config.output.summaries_dir:
            summaries = stack.enter_context(RunSummaries(config.output.summaries_dir, run))
        if config.head.solver == "logistic_regression":
            fitted = _regress(config, training, validation, shares, summaries, apart)
            head, unseen, truth, course = fitted.head, fitted.unseen, fitted.truth, fitted.course
        else:
            head, course = _descend(config, backbone, features, shares, summaries)
            unseen, truth = head.logits(validation.vectors), validation.categories
    if config.head.calibrate:
        head = calibration.calibrated(head, unseen, truth)
    return Learned(head, course, summaries.folder if summaries else None)


def _regress(
    config: TrainingConfig,
    training: Part,
    validation: Part,
    shares: np.ndarray,
    summaries: RunSummaries | None,
    apart: bool,
) -> Fitted:
    examples = training.examples()
    watched = (validation.vectors, validation.categories)
    variants = training.variants.shape[1]
    seed = config.head.seed
    fitted = logistic_regression.train(
        examples, watched, len(shares), shares, variants, seed, apart
    )
    progress = look(0, fitted.head, examples, watched if len(watched[1]) else None)
    logging.info("Logistic regression: %s.", _text(progress))
    if summaries:
        summaries.add(progress)
        summaries.add_course(fitted.course, "by_strength")
    return fitted


def _descend(
    config: TrainingConfig,
    backbone: Backbone,
    features: Bottlenecks,
    shares: np.ndarray,
    summaries: RunSummaries | None,
) -> tuple[Head, Course]:
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
            fresh = FreshFeatures(training.pictures, backbone, features.engine, config.distortions)
            features_of = stack.enter_context(fresh).of
        head = train(
            training.examples(),
            (validation.vectors, validation.categories),
            len(shares),
            config.head,
            shares=None if config.head.class_weights == BALANCED else shares,
            features_of=features_of,
            on_evaluation=show,
            on_step=_intermediate_writer(config, backbone, features),
        )
    return head, recorder.course()


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


def _intermediate_writer(
    config: TrainingConfig, backbone: Backbone, features: Bottlenecks
) -> Callable[[int, Head], None]:
    # They are graphs, none of which calculates in int8.
    in_graph = features.engine != INT8
    frequency = config.output.intermediate_store_frequency if in_graph else 0

    def write(step: int, head: Head) -> None:
        # As in the original: not before the first step, and not after the last.
        if frequency and step > 0 and step % frequency == 0:
            classifier = assemble(config, backbone, features, head, test_accuracy=None)
            outputs.write_intermediate(classifier, config.output, step)

    return write

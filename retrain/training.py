"""Trains the head of a run, and shows on the way how it goes."""

import contextlib
import logging
from collections.abc import Callable

from retrain import logistic_regression, outputs
from retrain.backbones.spec import Backbone
from retrain.bottlenecks import Bottlenecks, Part
from retrain.config import TrainingConfig
from retrain.export.assemble import assemble
from retrain.head import Head, Progress, look, train
from retrain.splits import TRAINING, VALIDATION
from retrain.summaries import RunSummaries

# As many lines as the progress takes.
_LINES = 10


def train_head(config: TrainingConfig, backbone: Backbone, features: Bottlenecks) -> Head:
    """Returns the head trained on the training part, as the config says.

    Summaries and classifiers that are not trained to the end are written on the way.

    Raises:
        UserError: the numbers grew beyond all bounds, or something cannot be written.
    """
    training, validation = features.part(TRAINING), features.part(VALIDATION)
    if config.head.solver == "logistic_regression":
        return _regress(config, training, validation, len(features.dataset.labels))
    with contextlib.ExitStack() as stack:
        watchers = [_Lines(config.head.steps).show]
        if config.output.summaries_dir:
            watchers.append(stack.enter_context(RunSummaries(config.output.summaries_dir)).add)

        def show(progress: Progress) -> None:
            for watch in watchers:
                watch(progress)

        return train(
            (training.vectors, training.categories),
            (validation.vectors, validation.categories),
            len(features.dataset.labels),
            config.head,
            on_evaluation=show,
            on_step=_intermediate_writer(config, backbone, features),
        )


def _regress(config: TrainingConfig, training: Part, validation: Part, classes: int) -> Head:
    examples = (training.vectors, training.categories)
    watched = (validation.vectors, validation.categories)
    trained = logistic_regression.train(examples, watched, classes)
    progress = look(0, trained, examples, watched if len(watched[1]) else None)
    logging.info("Logistic regression: %s.", _text(progress))
    if config.output.summaries_dir:
        with RunSummaries(config.output.summaries_dir) as summaries:
            summaries.add(progress)
    return trained


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
    frequency = config.output.intermediate_store_frequency

    def write(step: int, head: Head) -> None:
        # As in the original: not before the first step, and not after the last.
        if frequency and step > 0 and step % frequency == 0:
            classifier = assemble(config, backbone, features.dataset, head, test_accuracy=None)
            outputs.write_intermediate(classifier, config.output, step)

    return write

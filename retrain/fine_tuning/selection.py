"""Whether the network should learn, too: tried, and decided by the validation part."""

import dataclasses
import logging
from typing import NamedTuple

import numpy as np

from retrain.backbones.backbone import Backbone
from retrain.backbones.engines import INT8
from retrain.config import FineTuningOptions, TrainingConfig
from retrain.data.dataset import Dataset
from retrain.data.splits import VALIDATION
from retrain.errors import UserError
from retrain.fine_tuning import layers
from retrain.fine_tuning.tuned_backbone import tuned
from retrain.runtimes.head import Head
from retrain.system.phase_timer import PhaseTimer
from retrain.training.evaluation import Evaluation, evaluate, losses
from retrain.training.history import TrainingHistory
from retrain.training.results import FineTuned, Trained
from retrain.training.summaries import RunSummaries
from retrain.training.train import StepObserver, ignore_steps, train_and_test, train_head


class Choice(NamedTuple):
    """The better of two classifiers.

    Attributes:
        config: of the run, as if it had asked for no more than was kept.
        backbone: the network.
        trained: with its features, by the name of the engine; the graph's head last.
        outcome: what it was chosen by.
    """

    config: TrainingConfig
    backbone: Backbone
    trained: dict[str, Trained]
    outcome: FineTuned


def check(options: FineTuningOptions, backbone: Backbone, dataset: Dataset) -> None:
    """Raises UserError where the network cannot learn as the options want, or nobody could judge.

    Args:
        options: how it is to learn, if at all.
        backbone: the network.
        dataset: all images.
    """
    if options.epochs:
        _check_judges(len(dataset.split(VALIDATION)))
        layers.check(backbone, options.layers)


def better(
    config: TrainingConfig,
    backbone: Backbone,
    trained: dict[str, Trained],
    timer: PhaseTimer,
    observe_steps: StepObserver = ignore_steps,
) -> Choice:
    """Returns what is better for the validation part: the network as it is, or fine-tuned.

    A fine-tuned one must make no more errors, and be surer of the truth by more than the standard
    error of that: with few images to judge by, one that is no better would often seem so. The
    test part decides nothing.

    Args:
        config: of the run.
        backbone: the network as it is.
        trained: with features of that; by the name of the engine, the graph's head last.
        timer: of the run.
        observe_steps: as for `train_and_test`.

    Raises:
        UserError: the user must change something.
    """
    *_, before = trained.values()
    # Those that there were may have turned out to be unreadable.
    _check_judges(before.evaluations[VALIDATION].count)
    with timer.phase("fine_tuning"):
        network, history = tuned(config, backbone, before)
    _summarise(config, history)
    logging.info("The network that has learned:")
    changed = train_and_test(
        config,
        network,
        before.features.dataset,
        list(trained),
        timer,
        told=True,
        observe_steps=observe_steps,
    )
    logging.info("The network as it was, judged in the same way:")
    outcome = _judged(config, backbone, trained, changed, history)
    logging.info(
        "Fine-tuning %s: of %d validation images, %d get a wrong label with it and %d without; "
        "the cross entropy is %.4f with it, lower by %.4f ± %.4f.",
        "helps and is kept" if outcome.kept else "does not help for certain and is left out",
        outcome.with_it.count,
        *(len(outcome.with_it.misclassified), len(outcome.without.misclassified)),
        *(outcome.with_it.cross_entropy, outcome.gain, outcome.standard_error),
    )
    if outcome.kept:
        return Choice(config, network, _with_unreadable(changed, trained), outcome)
    plain = dataclasses.replace(config, fine_tuning=FineTuningOptions())
    return Choice(plain, backbone, trained, outcome)


def _summarise(config: TrainingConfig, history: TrainingHistory) -> None:
    if config.output.summaries_dir:
        with RunSummaries(config.output.summaries_dir, "fine_tuning") as summaries:
            summaries.add_history(history, "by_epoch")


def _judged(
    config: TrainingConfig,
    backbone: Backbone,
    before: dict[str, Trained],
    after: dict[str, Trained],
    history: TrainingHistory,
) -> FineTuned:
    """Returns what the validation part says of both; it is kept where it helps with each engine."""
    found = {
        engine: _outcome(
            before[engine], _head_made_alike(config, backbone, before[engine]), it, history
        )
        for engine, it in after.items()
    }
    *_, outcome = found.values()
    if INT8 in found and not found[INT8].kept:
        logging.info("In int8, which is wanted, too, it does not help for certain.")
    return outcome._replace(kept=all(it.kept for it in found.values()))


def _outcome(before: Trained, alike: Head, after: Trained, history: TrainingHistory) -> FineTuned:
    with_it, losses_with = _evaluated(after.head, after)
    without, losses_without = _evaluated(alike, before)
    gains = losses_without - losses_with
    gain = float(gains.mean())
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else np.inf
    helps = len(with_it.misclassified) <= len(without.misclassified) and gain > error
    return FineTuned(
        helps, history, with_it, without, gain, error, after.test.accuracy, before.test.accuracy
    )


def _head_made_alike(config: TrainingConfig, backbone: Backbone, before: Trained) -> Head:
    """Returns a head for the network as it was that is made as that of the other one.

    That head's strength and temperature are chosen by the validation part, which then seems
    easier than it does to a head that others chose.
    """
    if config.head.solver == "sgd":
        return before.head  # It chooses nothing.
    silent = dataclasses.replace(
        config, output=dataclasses.replace(config.output, summaries_dir=None)
    )
    return train_head(silent, backbone, before.features, apart=True).head


def _evaluated(head: Head, trained: Trained) -> tuple[Evaluation, np.ndarray]:
    """Returns how good a head is for the validation part, and the loss of each image in nats."""
    part = trained.features.part(VALIDATION)
    probabilities = head.probabilities(part.vectors)
    return evaluate(probabilities, part.class_ids), losses(probabilities, part.class_ids)


def _with_unreadable(after: dict[str, Trained], before: dict[str, Trained]) -> dict[str, Trained]:
    """Returns `after` with what was left out before it began, as the report tells of it."""
    unreadable = {
        path: reason for it in before.values() for path, reason in it.features.unreadable.items()
    }
    return {
        engine: dataclasses.replace(
            it, features=dataclasses.replace(it.features, unreadable=unreadable)
        )
        for engine, it in after.items()
    }


def _check_judges(count: int) -> None:
    if not count:
        raise UserError(
            "--fine_tune_epochs needs validation images, which tell whether it helps; set "
            "--validation_percentage or --validation_dir"
        )

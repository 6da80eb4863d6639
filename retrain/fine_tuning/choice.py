"""Whether the network should learn, too: tried, and decided by the validation part."""

import dataclasses
import logging
from typing import NamedTuple

from retrain.backbones.engines import INT8
from retrain.backbones.spec import Backbone
from retrain.clock import Clock
from retrain.config import FineTuningOptions, TrainingConfig
from retrain.course import Course
from retrain.errors import UserError
from retrain.evaluation import Evaluation, evaluate
from retrain.fine_tuning import layers
from retrain.fine_tuning.tuned_backbone import tuned
from retrain.images import Dataset
from retrain.splits import VALIDATION
from retrain.summaries import RunSummaries
from retrain.trained import FineTuned, Trained
from retrain.training import train_and_test, train_head


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
        dataset: all pictures.
    """
    if options.epochs:
        _check_judges(len(dataset.split(VALIDATION)))
        layers.check(backbone, options.layers)


def better(
    config: TrainingConfig, backbone: Backbone, trained: dict[str, Trained], clock: Clock
) -> Choice:
    """Returns what is better for the validation part: the network as it is, or fine-tuned.

    The better one has fewer errors, or where these are as many, is surer of the truth. The test
    part decides nothing.

    Args:
        config: of the run.
        backbone: the network as it is.
        trained: with features of that; by the name of the engine, the graph's head last.
        clock: of the run.

    Raises:
        UserError: the user must change something.
    """
    *_, before = trained.values()
    # Those that there were may have turned out to be unreadable.
    _check_judges(before.evaluations[VALIDATION].count)
    with clock.phase("fine_tuning"):
        network, course = tuned(config, backbone, before)
    _summarise(config, course)
    changed = train_and_test(config, network, before.features.dataset, list(trained), clock)
    *_, after = changed.values()
    with_it, without = after.evaluations[VALIDATION], _judged_alike(config, backbone, before)
    helps = _badness(with_it) < _badness(without) and not _spoils_int8(trained, changed)
    logging.info(
        "Fine-tuning %s: of %d validation pictures, %d get a wrong label with it and %d without, "
        "at a cross entropy of %.4f and %.4f.",
        "helps and is kept" if helps else "does not help and is left out",
        with_it.count,
        *(len(with_it.misclassified), len(without.misclassified)),
        *(with_it.cross_entropy, without.cross_entropy),
    )
    outcome = FineTuned(helps, course, with_it, without)
    if helps:
        return Choice(config, network, _with_unreadable(changed, trained), outcome)
    plain = dataclasses.replace(config, fine_tuning=FineTuningOptions())
    return Choice(plain, backbone, trained, outcome)


def _summarise(config: TrainingConfig, course: Course) -> None:
    if config.output.summaries_dir:
        with RunSummaries(config.output.summaries_dir, "fine_tuning") as summaries:
            summaries.add_course(course, "by_epoch")


def _judged_alike(config: TrainingConfig, backbone: Backbone, before: Trained) -> Evaluation:
    """Returns how good the network as it is would be with a head made as that of the other one.

    That head's strength and temperature are chosen by the validation part, which then seems
    easier than it does to a head that others chose.
    """
    if config.head.solver == "sgd":
        return before.evaluations[VALIDATION]  # It chooses nothing.
    silent = dataclasses.replace(
        config, output=dataclasses.replace(config.output, summaries_dir=None)
    )
    head = train_head(silent, backbone, before.features, apart=True).head
    part = before.features.part(VALIDATION)
    return evaluate(head.probabilities(part.vectors), part.categories)


def _spoils_int8(before: dict[str, Trained], after: dict[str, Trained]) -> bool:
    """Tells whether more validation pictures get a wrong label in int8 than did before."""
    if INT8 not in after:
        return False
    wrong = [len(it[INT8].evaluations[VALIDATION].misclassified) for it in (before, after)]
    if wrong[1] > wrong[0]:
        logging.info("In int8, %d get a wrong label with it and %d without.", wrong[1], wrong[0])
    return wrong[1] > wrong[0]


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
            "--fine_tune_epochs needs validation pictures, which tell whether it helps; set "
            "--validation_percentage or --validation_dir"
        )


def _badness(evaluation: Evaluation) -> tuple[int, float]:
    assert evaluation.cross_entropy is not None
    return len(evaluation.misclassified), evaluation.cross_entropy

"""Chooses what the report advises to do next, from the most to the least useful step."""

from collections.abc import Iterator
from typing import NamedTuple

from retrain.data_check.findings import KIND_OF_NAME
from retrain.report.html.accuracy import is_below_baseline
from retrain.report.html.page import percent, plural
from retrain.report.html.thresholds import measure, recommend
from retrain.report.html.training_run import TrainingRun
from retrain.system.text import name_some
from retrain.training_options import AUTO

_MAX_STEPS = 6
_MAX_NAMES = 3
# Fewer mistakes in a class can be chance.
_MIN_MISTAKES = 3
# Fewer images of a class say little about it.
_SMALL_CLASS = 20
# Fine-tuning and more images are worth their time if they can bring so much.
_WORTHWHILE_GAIN = 0.005
_ENOUGH_ACCURACY = 0.98
# An interval that is wider than this leaves open how good the classifier is.
_WIDE_INTERVAL = 0.1


class Step(NamedTuple):
    """Something to do next.

    Attributes:
        title: What to do, in a few words.
        reason: Why, with the numbers of this run.
        flag: Flag to add to the command, or command, if any.
        section: Name of the section with the details, if there is one.
    """

    title: str
    reason: str
    flag: str = ""
    section: str = ""


def next_steps(run: TrainingRun) -> list[Step]:
    """Returns the steps to advise, the most useful first."""
    return list(_steps(run))[:_MAX_STEPS]


def _steps(run: TrainingRun) -> Iterator[Step]:
    evaluation = run.held_out.evaluation
    if evaluation.accuracy is None:
        yield _hold_images_out(run)
    elif is_below_baseline(evaluation):
        yield Step(
            "Check that the images are in the right folders",
            "The classifier is no better than always naming the largest class.",
            section="accuracy",
        )
    yield from _check_data(run)
    mistakes = len(evaluation.misclassified)
    if mistakes:
        yield Step(
            "Look at the most confident mistakes",
            f"There {'is' if mistakes == 1 else 'are'} {plural(mistakes, 'mistake')}. Where the "
            "classifier was sure, the label of the image is often what is wrong: move the image to "
            "the right folder.",
            section="mistakes",
        )
    yield from _add_images(run)
    if (
        evaluation.accuracy is not None
        and evaluation.accuracy < _ENOUGH_ACCURACY
        and not run.fine_tuning
        and not run.config.fine_tuning.epochs
    ):
        yield Step(
            "Fine-tune the network",
            "This takes minutes instead of seconds. The result is kept only if it is better.",
            f"--fine_tune_epochs={AUTO}",
        )
    yield from _use_threshold(run)


def _hold_images_out(run: TrainingRun) -> Step:
    if run.config.split.test_dir is None and not run.config.split.testing_percentage:
        return Step(
            "Hold images out for a test",
            "No image was held out, so nothing is known about how good the classifier is.",
            "--testing_percentage=10",
        )
    return Step(
        "Add images that differ from each other",
        "The images of each class are nearly the same, so that none of them could be held out for "
        "a test.",
        section="classes",
    )


def _check_data(run: TrainingRun) -> Iterator[Step]:
    check = run.data_check
    if check is None or not check.is_current:
        yield Step(
            "Check the images",
            "Wrong labels, copies and unreadable images make a classifier worse. "
            + (
                "The images have not been checked yet."
                if check is None
                else "The images have changed since the last check."
            ),
            section="data_check",
        )
    elif check.counts:
        found = [
            f"{KIND_OF_NAME[kind].title.lower()} ({count:,})"
            for kind, count in check.counts.items()
            if kind in KIND_OF_NAME
        ]
        yield Step(
            "Correct the problems in the images",
            f"The last check found: {name_some(found, most=_MAX_NAMES, separator='; ')}.",
            section="data_check",
        )


def _add_images(run: TrainingRun) -> Iterator[Step]:
    evaluation = run.held_out.evaluation
    small = [
        label
        for label, scores in zip(run.labels, evaluation.classes, strict=True)
        if 0 < scores.count < _SMALL_CLASS
    ]
    doubled = run.learning_curve.doubled if run.learning_curve else None
    if doubled and doubled.gain >= _WORTHWHILE_GAIN and doubled.low > 0:
        weakest = [run.labels[class_id] for class_id in weakest_classes(run)]
        yield Step(
            "Take more images",
            f"Twice as many would bring about {points(doubled.gain)}"
            + (f", above all of: {name_some(weakest, most=_MAX_NAMES)}." if weakest else "."),
            section="learning_curve",
        )
    elif evaluation.interval and evaluation.interval[1] - evaluation.interval[0] > _WIDE_INTERVAL:
        low, high = evaluation.interval
        yield Step(
            "Take more images",
            f"With only {plural(evaluation.count, 'held-out image')}, the accuracy is between "
            f"{percent(low)} and {percent(high)}.",
            section="accuracy",
        )
    elif small and run.held_out.fold_count:
        yield Step(
            "Take more images of small classes",
            f"There are fewer than {_SMALL_CLASS} of: {name_some(small, most=_MAX_NAMES)}.",
            section="classes",
        )


def _use_threshold(run: TrainingRun) -> Iterator[Step]:
    recommended = recommend(measure(run)) if run.held_out.evaluation.count else None
    if recommended and recommended.score and recommended.accuracy is not None:
        yield Step(
            "Leave unsure images to people",
            f"Above a score of {recommended.score:g}, {percent(recommended.accuracy)} of the "
            f"answers are right, and {percent(recommended.answered)} of the images get one.",
            f"--unsure_below={recommended.score:g}",
            "thresholds",
        )


def weakest_classes(run: TrainingRun) -> list[int]:
    """Returns up to three classes with several mistakes, the least recognised class first."""
    evaluation = run.held_out.evaluation
    recalls = [
        (scores.recall, class_id)
        for class_id, scores in enumerate(evaluation.classes)
        if scores.recall is not None
        and scores.recall < (evaluation.accuracy or 0)
        and (1 - scores.recall) * scores.count >= _MIN_MISTAKES
    ]
    return [class_id for _, class_id in sorted(recalls)[:_MAX_NAMES]]


def points(fraction: float) -> str:
    """Returns a difference of accuracies in percentage points, such as "2 points"."""
    value = round(100 * fraction, 1)
    return f"{value:g} point{'' if value == 1 else 's'}"

"""The section about the accuracy, its uncertainty, and what it is compared with."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from retrain.report.html.page import plural, show
from retrain.report.html.training_run import Section, TrainingRun
from retrain.training.evaluation import Evaluation


class _Row(NamedTuple):
    """A way to measure the accuracy, the number of images, and the result."""

    name: str
    explanation: str
    images: int
    accuracy: float
    interval: tuple[float, float] | None


def describe(run: TrainingRun) -> Section | None:
    """Returns the section, or None if no images were held out."""
    rows = list(_rows(run))
    evaluation = run.held_out.evaluation
    if not rows or evaluation.baseline is None:
        return None
    out_of_fold = run.result.out_of_fold
    counts = Counter(run.held_out.class_ids.tolist())
    values = {
        "rows": rows,
        "majority": run.labels[counts.most_common(1)[0][0]],
        "baseline": evaluation.baseline,
        "balanced": evaluation.balanced_accuracy,
        "grouping": show(run.dataset.grouping.describe()) if run.dataset.grouping else None,
        "not_judged": len(out_of_fold.always_training) if out_of_fold else 0,
        "below_baseline": is_below_baseline(evaluation),
    }
    return Section("accuracy", "Accuracy", values)


def _rows(run: TrainingRun) -> Iterator[_Row]:
    folds = run.held_out.fold_count
    if folds:
        yield from _row(
            "cross-validation",
            f"All images: {folds} times, a classifier was trained without one part of them and "
            "tested on that part.",
            run.held_out.evaluation,
        )
    yield from _row(
        "test images",
        "The exported classifier, on images that had no part in its training.",
        run.result.test,
    )
    yield from _row(
        "validation images",
        "The exported classifier, on images that helped to choose between alternatives, so "
        "it can be a little too high.",
        run.result.validation,
    )
    if run.results.int8:
        yield from _row(
            "test images, in int8", "The classifier for small devices.", run.results.int8.test
        )
    tuning = run.fine_tuning
    if tuning and tuning.test_tuned is not None and tuning.test_baseline is not None:
        name, accuracy = (
            ("without fine-tuning", tuning.test_baseline)
            if tuning.kept
            else ("with fine-tuning, not kept", tuning.test_tuned)
        )
        yield _Row(
            name, "On the test images, for comparison.", run.result.test.count, accuracy, None
        )


def _row(name: str, explanation: str, evaluation: Evaluation) -> Iterator[_Row]:
    if evaluation.accuracy is not None:
        yield _Row(name, explanation, evaluation.count, evaluation.accuracy, evaluation.interval)


def is_below_baseline(evaluation: Evaluation) -> bool:
    """Returns whether a classifier is no better than always naming the largest class."""
    accuracy, baseline = evaluation.accuracy, evaluation.baseline
    return accuracy is not None and baseline is not None and accuracy < 1 and accuracy <= baseline


def name_judged(run: TrainingRun) -> str:
    """Returns which images the sections judge the classifier by, as in "1,658 images"."""
    count = plural(run.held_out.evaluation.count, "image")
    return count if run.held_out.fold_count else count.replace(" ", " test ")

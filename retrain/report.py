"""The numbers of a run as text for people and scripts, and as JSON."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain.evaluation import Evaluation
from retrain.images import Dataset, Picture
from retrain.outputs import Written
from retrain.runtime import one_line
from retrain.splits import TEST, TRAINING, VALIDATION

_CONFUSIONS_SHOWN = 3


def dataset_line(dataset: Dataset) -> str:
    """Returns how many pictures and categories there are."""
    parts = ", ".join(f"{len(dataset.split(p))} for {p}" for p in (TRAINING, VALIDATION, TEST))
    return f"{len(dataset.pictures)} pictures in {len(dataset.labels)} categories: {parts}."


def accuracy_line(evaluation: Evaluation) -> str:
    """Returns the line that scripts have looked for since 2015."""
    if evaluation.accuracy is None:
        return "Final test accuracy is unknown: no pictures were held out for testing (N=0)"
    return f"Final test accuracy = {100 * evaluation.accuracy:.1f}% (N={evaluation.count})"


def explanation(evaluation: Evaluation, labels: Sequence[str]) -> list[str]:
    """Returns lines that say what the accuracy is worth, and which categories are confused."""
    if evaluation.accuracy is None or evaluation.interval is None or evaluation.baseline is None:
        return []
    low, high = (100 * bound for bound in evaluation.interval)
    lines = [
        f"With {evaluation.count} test pictures the true accuracy is likely between {low:.1f}% and "
        f"{high:.1f}%; always the commonest category would reach {100 * evaluation.baseline:.1f}%."
    ]
    confused = [
        f"{count} x {one_line(labels[truth])} taken for {one_line(labels[guess])}"
        for count, truth, guess in _largest_confusions(evaluation)
    ]
    return lines + ([f"Most confused: {', '.join(confused)}."] if confused else [])


def _largest_confusions(evaluation: Evaluation) -> list[tuple[int, int, int]]:
    cells = [
        (int(count), truth, guess)
        for truth, row in enumerate(evaluation.confusion)
        for guess, count in enumerate(row)
        if truth != guess and count
    ]
    return sorted(cells, key=lambda cell: (-cell[0], *cell[1:]))[:_CONFUSIONS_SHOWN]


def misclassified_lines(
    evaluation: Evaluation, pictures: Sequence[Picture], labels: Sequence[str]
) -> list[str]:
    """Returns the original's list of test pictures with a wrong label, with the score added."""
    lines = ["=== MISCLASSIFIED TEST IMAGES ==="]
    for mistake in evaluation.misclassified:
        path = one_line(pictures[mistake.index].path)
        lines.append(f"{path:>70}  {one_line(labels[mistake.predicted])} ({mistake.score:.5f})")
    return lines


def written_lines(written: Sequence[Written], graph: Path, example: Path) -> list[str]:
    """Returns which files there are now, and the command that labels a picture with them."""
    width = max(len(str(file.path)) for file in written)
    lines = ["Wrote:"] + [f"  {file.path!s:{width}}  {file.what}" for file in written]
    lines += ["Label a picture with it:"]
    return [*lines, f"  bazel run //label_image -- --graph={graph} {_quoted(example)}"]


def _quoted(path: Path) -> str:
    return shlex.quote(one_line(path))


def metrics(
    dataset: Dataset,
    evaluations: Mapping[str, Evaluation],
    pictures: Mapping[str, Any],
    training: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> str:
    """Returns all numbers of a run as JSON.

    Args:
        dataset: what was learned from.
        evaluations: by part.
        pictures: what happened to them on the way.
        training: how the head was trained.
        seconds: of each phase.
    """
    counts = {part: len(dataset.split(part)) for part in (TRAINING, VALIDATION, TEST)}
    content = {
        "format_version": 1,
        "labels": dataset.labels,
        "folders": dataset.folders,
        "pictures": {**counts, **pictures},
        "training": dict(training),
        **{part: evaluation.as_json(dataset.labels) for part, evaluation in evaluations.items()},
        "seconds": {phase: round(spent, 3) for phase, spent in seconds.items()},
    }
    return json.dumps(content, indent=2) + "\n"

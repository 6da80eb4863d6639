"""Writes the results of a run as JSON, CSV or JSON lines."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from tools.transfers.plan import Plan
from tools.transfers.results_file import ImageRecord

# Scripts rely on the names of the columns. The last ones come after the scores in CSV files, where
# earlier versions did not have them.
_COLUMNS = ("picture", "filed", "action", "label", "score", "error")
_LAST_COLUMNS = ("sha256", "familiarity", "unknown")


class SortedRun(NamedTuple):
    """What all images of a results file have in common.

    Attributes:
        source: Folder of the images.
        target: Folder of the sorted images.
        action: What happened to the images, a value of ACTIONS or PLANNED.
        labels: Labels of the classifier, in the order of `Plan.scores`.
    """

    source: Path
    target: Path
    action: str
    labels: Sequence[str]

    def record(self, plan: Plan) -> ImageRecord:
        """Returns the record of a plan that is executed."""
        image = str(self.source / plan.image)
        if plan.target is None:
            return ImageRecord(image)
        return ImageRecord(image, str(self.target / plan.target), self.action, plan.digest)


def write(path: Path, plans: Iterable[Plan], run: SortedRun, *, format_: str) -> None:
    """Writes the results of executed plans one by one.

    File names that are not valid UTF-8 keep their bytes in CSV and are escaped in JSON.

    Args:
        path: Path of the file.
        plans: What became of each image.
        run: What the images have in common.
        format_: One of FORMATS.
    """
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        if format_ == ".csv":
            _write_csv(file, plans, run)
        elif format_ == ".jsonl":
            file.writelines(f"{_to_json(plan, run)}\n" for plan in plans)
        else:
            _write_json(file, plans, run)


def _fields(plan: Plan, run: SortedRun) -> dict[str, Any]:
    """Returns the value of each column except the scores."""
    record = run.record(plan)
    return {
        "picture": record.image,
        "filed": record.target,
        "action": record.action,
        "label": plan.label,
        "score": plan.score,
        "error": plan.error,
        "sha256": record.sha256,
        "familiarity": plan.familiarity,
        "unknown": None if plan.familiarity is None else plan.is_unknown,
    }


def _scores(plan: Plan, run: SortedRun) -> dict[str, float]:
    return dict(zip(run.labels, plan.scores, strict=False))


def _write_csv(file: TextIO, plans: Iterable[Plan], run: SortedRun) -> None:
    writer = csv.writer(file)
    writer.writerow([*_COLUMNS, *(f"score of {label}" for label in run.labels), *_LAST_COLUMNS])
    for plan in plans:
        fields, scores = _fields(plan, run), _scores(plan, run)
        if fields["unknown"] is not None:
            fields["unknown"] = json.dumps(fields["unknown"])
        writer.writerow(
            [
                *(fields[column] for column in _COLUMNS),
                *map(scores.get, run.labels),
                *(fields[column] for column in _LAST_COLUMNS),
            ]
        )


def _write_json(file: TextIO, plans: Iterable[Plan], run: SortedRun) -> None:
    separator = "["
    for plan in plans:
        file.write(f"{separator}\n{_to_json(plan, run)}")
        separator = ","
    file.write("[]\n" if separator == "[" else "\n]\n")


def _to_json(plan: Plan, run: SortedRun) -> str:
    columns, scores = _fields(plan, run), _scores(plan, run)
    # "picture" is an older name of "image".
    fields: dict[str, Any] = {"image": columns["picture"], **columns}
    fields = {name: value for name, value in fields.items() if value is not None}
    if scores:
        fields["scores"] = scores
    text = json.dumps(fields, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # A file name that is not valid UTF-8.
        return json.dumps(fields)
    return text

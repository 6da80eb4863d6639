"""Writes the results of a run as JSON, CSV or JSON lines, and reads them again."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO

from retrain.errors import UserError
from tools.guess import transfer
from tools.guess.journal import Plan

FORMATS = (".json", ".csv", ".jsonl")
FORMAT_LIST = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"

# What a run did to an image, by the operation.
ACTIONS = {
    transfer.COPY: "copied",
    transfer.MOVE: "moved",
    transfer.HARD_LINK: "hard-linked",
    transfer.SYMBOLIC_LINK: "linked",
}
# Action of a dry run.
PLANNED = "planned"

# The columns and the attributes of Result that they hold. Scripts rely on the columns' names.
_COLUMNS = {
    "picture": "image",
    "filed": "target",
    "action": "action",
    "label": "label",
    "score": "score",
    "error": "error",
}
# The columns that `read` needs.
_REQUIRED_COLUMNS = {"picture", "filed", "action"}
# Errors of parsing a file that `write` did not write.
_PARSE_ERRORS = (ValueError, TypeError, KeyError, AttributeError, csv.Error)


@dataclass(frozen=True)
class Result:
    """What became of one image.

    Attributes:
        image: Original path of the image.
        target: New path of the image, None if it was not transferred.
        action: A value of ACTIONS, or PLANNED. None if the image was not transferred.
        label: Best label, None if the image could not be read.
        score: Score of the best label, 0 to 1.
        error: Why the image was not transferred, None if it was.
        scores: Scores of all labels, empty unless requested.
    """

    image: str
    target: str | None = None
    action: str | None = None
    label: str | None = None
    score: float | None = None
    error: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


def results_of(
    plans: Iterable[Plan], settings: Mapping[str, Any], labels: Sequence[str]
) -> Iterator[Result]:
    """Yields the results of executing plans.

    Args:
        plans: Plans that are done or pending.
        settings: Value of `Journal.settings`.
        labels: Value of `Journal.labels`.
    """
    source, target = Path(settings["source"]), Path(settings["target"])
    action = PLANNED if settings["dry_run"] else ACTIONS[settings["how"]]
    for plan in plans:
        yield Result(
            image=str(source / plan.image),
            target=str(target / plan.target) if plan.target is not None else None,
            action=action if plan.target is not None else None,
            label=plan.label,
            score=plan.score,
            error=plan.error,
            scores=dict(zip(labels, plan.scores, strict=False)),
        )


def check_format(path: Path) -> None:
    """Raises UserError if the suffix of a path is not one of FORMATS."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"--results={path} has no known format; choose a name that ends with {FORMAT_LIST}"
        )


def check_replaceable(path: Path, own_results: Iterable[Result]) -> None:
    """Raises UserError if writing results to a path would destroy something that is still needed.

    Results are not needed if there is nothing left to undo, or if they are the current run's own,
    which was interrupted after it wrote them.

    Args:
        path: Path of a results file. It does not have to exist.
        own_results: Results of the current run so far.
    """
    try:
        if not path.exists() or not path.stat().st_size or all(map(_is_undone, _read(path))):
            return
        pairs = zip_longest(map(_undo_fields, _read(path)), map(_undo_fields, own_results))
        if all(existing == own for existing, own in pairs):
            return
    except OSError as error:
        raise UserError(
            f"--results={path} already exists and cannot be read: {error.strerror}; "
            "choose another file"
        ) from error
    except _PARSE_ERRORS as error:
        raise UserError(
            f"--results={path} already exists and was not written by guess_dir, so it is not "
            "overwritten; choose another file"
        ) from error
    raise UserError(
        f"--results={path} has the record of an earlier run and is not overwritten; choose another "
        f"file, or restore the images of that run with --undo={path}"
    )


def write(path: Path, results: Iterable[Result], *, format_: str, labels: Sequence[str]) -> None:
    """Writes results one by one.

    File names that are not valid UTF-8 keep their bytes in CSV and are escaped in JSON.

    Args:
        path: Path of the file.
        results: Results to write.
        format_: One of FORMATS.
        labels: Labels of the score columns of a CSV file.
    """
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        if format_ == ".csv":
            _write_csv(file, results, labels)
        elif format_ == ".jsonl":
            file.writelines(f"{_to_json(result)}\n" for result in results)
        else:
            _write_json(file, results)


def read(path: Path) -> Iterator[Result]:
    """Yields the image, target and action of each result in a file that `write` wrote.

    Raises:
        UserError: If the file cannot be read or has no results.
    """
    try:
        yield from _read(path)
    except OSError as error:
        raise UserError(f"--undo={path} cannot be read: {error.strerror}") from error
    except _PARSE_ERRORS as error:
        raise UserError(
            f"--undo={path} was not written by --results; choose a file that was"
        ) from error


def _write_csv(file: TextIO, results: Iterable[Result], labels: Sequence[str]) -> None:
    writer = csv.writer(file)
    writer.writerow([*_COLUMNS, *(f"score of {label}" for label in labels)])
    for result in results:
        fields = [getattr(result, attribute) for attribute in _COLUMNS.values()]
        writer.writerow([*fields, *(result.scores.get(label) for label in labels)])


def _write_json(file: TextIO, results: Iterable[Result]) -> None:
    separator = "["
    for result in results:
        file.write(f"{separator}\n{_to_json(result)}")
        separator = ","
    file.write("[]\n" if separator == "[" else "\n]\n")


def _to_json(result: Result) -> str:
    # "picture" is an older name of "image".
    fields: dict[str, Any] = {"image": result.image}
    fields |= {column: getattr(result, attribute) for column, attribute in _COLUMNS.items()}
    fields = {name: value for name, value in fields.items() if value is not None}
    if result.scores:
        fields["scores"] = dict(result.scores)
    text = json.dumps(fields, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # A file name that is not valid UTF-8.
        return json.dumps(fields)
    return text


def _read(path: Path) -> Iterator[Result]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        for fields in _records(path.suffix.lower(), file):
            yield _parse(fields)


def _records(format_: str, file: TextIO) -> Iterable[Mapping[str, Any]]:
    if format_ == ".csv":
        reader = csv.DictReader(file)
        if not set(reader.fieldnames or ()) >= _REQUIRED_COLUMNS:
            raise ValueError(f"unexpected columns: {reader.fieldnames}")
        return reader
    if format_ == ".json":
        records = json.load(file)
        if not isinstance(records, list):
            raise TypeError(f"expected an array; received: {type(records)}")
        return records
    return map(json.loads, file)


def _parse(fields: Mapping[str, Any]) -> Result:
    image = fields.get("image") or fields.get("picture")
    target, action = fields.get("filed") or None, fields.get("action") or None
    if not isinstance(image, str) or not isinstance(target, str | None):
        raise ValueError(f"a record has no path of an image: {dict(fields)}")
    if action not in (None, PLANNED, *ACTIONS.values()) or (action is None) != (target is None):
        raise ValueError(f"unexpected action {action} for {target}")
    return Result(image, target, action)


def _undo_fields(result: Result) -> tuple[str, str | None, str | None]:
    return result.image, result.target, result.action


def _is_undone(result: Result) -> bool:
    if result.target is None or result.action == PLANNED:
        return True
    return os.path.lexists(result.image) and not os.path.lexists(result.target)

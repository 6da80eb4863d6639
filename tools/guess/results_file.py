"""What became of each image, as a file of JSON, CSV or JSON lines, written and read."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO

from retrain.errors import UserError
from tools.guess import placing
from tools.guess.journal import Plan

FORMATS = (".json", ".csv", ".jsonl")
ENDINGS = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"

# What was done to an image, by the way in which it was to be filed.
ACTIONS = {
    placing.COPY: "copied",
    placing.MOVE: "moved",
    placing.HARD: "hard-linked",
    placing.SYMBOLIC: "linked",
}
PLANNED = "planned"

# What says what became of an image; the other columns say why.
_PATHS = ("picture", "filed", "action")
_COLUMNS = (*_PATHS, "label", "score", "error")
# Raised while reading what `write` did not write.
_OTHERWISE = (ValueError, TypeError, KeyError, AttributeError, csv.Error)


@dataclass(frozen=True)
class Result:
    """What became of one image.

    Attributes:
        image: path of the file, as it was found.
        filed: path of where it is now, or is to be; None where it was left alone.
        action: one of ACTIONS' values, or PLANNED; None where it was left alone.
        label: its class, None where it could not be read.
        score: of the label, 0 to 1.
        error: why it was left alone.
        scores: of all labels, where they were asked for.
    """

    image: str
    filed: str | None = None
    action: str | None = None
    label: str | None = None
    score: float | None = None
    error: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


def results_of(
    plans: Iterable[Plan], run: Mapping[str, Any], labels: Sequence[str]
) -> Iterator[Result]:
    """Yields what plans of a journal have become, with whole paths.

    Args:
        plans: that are done, or only begun.
        run: `Journal.run`.
        labels: `Journal.labels`.
    """
    source, target, action = Path(run["source"]), Path(run["target"]), ACTIONS[run["how"]]
    if run["dry_run"]:
        action = PLANNED
    for plan in plans:
        filed = plan.target is not None
        yield Result(
            image=str(source / plan.image),
            filed=str(target / plan.target) if plan.target is not None else None,
            action=action if filed else None,
            label=plan.label,
            score=plan.score,
            error=plan.error,
            scores=dict(zip(labels, plan.scores, strict=False)),
        )


def check_format(path: Path) -> None:
    """Raises UserError where the name of a file does not say which format it is to have."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"--results={path} does not say in which format; let its name end with {ENDINGS}"
        )


def check_replaceable(path: Path, own: Iterable[Result]) -> None:
    """Raises UserError where a file is there already whose contents would be missed.

    Not missed are results of which nothing is left to undo, and those of the very run that is to
    write them, which was stopped right after it had.

    Args:
        path: of a file for results, perhaps not there.
        own: what the run has done until now.
    """
    try:
        if not path.exists() or not path.stat().st_size or all(map(_is_undone, _read(path))):
            return
        pairs = zip_longest(map(_became, _read(path)), map(_became, own))
        if all(there == mine for there, mine in pairs):
            return
    except OSError as error:
        raise UserError(
            f"--results={path} is there already and cannot be read: {error.strerror}; "
            "name another file"
        ) from error
    except _OTHERWISE as error:
        raise UserError(
            f"--results={path} is there already, is none that guess_dir wrote, and is not written "
            "over; name another file"
        ) from error
    raise UserError(
        f"--results={path} has the record of an earlier run and is not written over; name another "
        f"file, or put the images of that run back with --undo={path}"
    )


def write(path: Path, format_: str, results: Iterable[Result], labels: Sequence[str]) -> None:
    """Writes one result after the other, in the format of a file whose name ends with `format_`.

    Names that are no text in UTF-8 keep their bytes in CSV, and are escaped in JSON.
    """
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        if format_ == ".csv":
            _write_csv(file, results, labels)
        elif format_ == ".jsonl":
            file.writelines(f"{_as_json(result)}\n" for result in results)
        else:
            _write_json(file, results)


def read(path: Path) -> Iterator[Result]:
    """Yields the results in a file that `write` wrote, without the scores.

    Raises:
        UserError: it is no such file.
    """
    try:
        yield from _read(path)
    except OSError as error:
        raise UserError(f"--undo={path} cannot be read: {error.strerror}") from error
    except _OTHERWISE as error:
        raise UserError(
            f"--undo={path} is not a file that --results wrote; name one that is"
        ) from error


def _write_csv(file: TextIO, results: Iterable[Result], labels: Sequence[str]) -> None:
    writer = csv.writer(file)
    writer.writerow([*_COLUMNS, *(f"score of {label}" for label in labels)])
    for result in results:
        fields = [getattr(result, name) for name in _COLUMNS]
        writer.writerow([*fields, *(result.scores.get(label) for label in labels)])


def _write_json(file: TextIO, results: Iterable[Result]) -> None:
    separator = "["
    for result in results:
        file.write(f"{separator}\n{_as_json(result)}")
        separator = ","
    file.write("[]\n" if separator == "[" else "\n]\n")


def _as_json(result: Result) -> str:
    fields: dict[str, Any] = {name: getattr(result, name) for name in _COLUMNS}
    fields = {name: value for name, value in fields.items() if value is not None}
    if result.scores:
        fields["scores"] = dict(result.scores)
    text = json.dumps(fields, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # The name of a file that is not in UTF-8.
        return json.dumps(fields)
    return text


def _read(path: Path) -> Iterator[Result]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        for fields in _records(path.suffix.lower(), file):
            yield _result(fields)


def _records(format_: str, file: TextIO) -> Iterable[Mapping[str, Any]]:
    if format_ == ".csv":
        reader = csv.DictReader(file)
        if not set(_PATHS) <= set(reader.fieldnames or ()):
            raise ValueError(f"the columns are {reader.fieldnames}")
        return reader
    if format_ == ".json":
        records = json.load(file)
        if not isinstance(records, list):
            raise TypeError("it has no array")
        return records
    return map(json.loads, file)


def _result(fields: Mapping[str, Any]) -> Result:
    image, filed, action = (fields.get(name) or None for name in _PATHS)
    if not isinstance(image, str) or not isinstance(filed, str | None):
        raise ValueError(f"a record has no path of an image: {dict(fields)}")
    if action not in (None, PLANNED, *ACTIONS.values()) or (action is None) != (filed is None):
        raise ValueError(f"action {action} with filed {filed}")
    return Result(image, filed, action)


def _became(result: Result) -> tuple[str, str | None, str | None]:
    return result.image, result.filed, result.action


def _is_undone(result: Result) -> bool:
    if result.filed is None or result.action == PLANNED:
        return True
    return os.path.lexists(result.image) and not os.path.lexists(result.filed)

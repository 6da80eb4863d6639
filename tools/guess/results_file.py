"""Writes the results of a run as JSON, CSV or JSON lines, and reads them again."""

import csv
import errno
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from retrain.errors import UserError
from retrain.system.files.regular_files import open_regular_file, read_bounded
from tools.guess import digests
from tools.guess.results import ACTIONS, PLANNED, Result

FORMATS = (".json", ".csv", ".jsonl")
FORMAT_LIST = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"

# The columns and the attributes of Result that they hold. Scripts rely on the columns' names.
_COLUMNS = {
    "picture": "image",
    "filed": "target",
    "action": "action",
    "label": "label",
    "score": "score",
    "error": "error",
}
# These come last in CSV files, where earlier versions did not have them.
_DIGEST_COLUMN = "sha256"
_UNKNOWN_COLUMNS = {"familiarity": "familiarity", "unknown": "is_unknown"}
# The columns that `read` needs.
_REQUIRED_COLUMNS = {"picture", "filed", "action"}
# Errors of parsing a file that `write` did not write.
_PARSE_ERRORS = (
    *(ValueError, TypeError, KeyError, AttributeError, RecursionError),
    csv.Error,
)
# A million images with the scores of ten labels have 0.6 GB as JSON.
_MAX_BYTES = 1 << 30
_DIGEST = re.compile("[0-9a-f]{64}")


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


def digest(path: Path) -> str:
    """Returns the SHA-256 of a results file, in hexadecimal.

    Raises:
        OSError: If the file cannot be read.
    """
    with _open(path) as file:
        return digests.of_file(file.fileno())


def read(path: Path, *, sha256: str | None = None) -> Iterator[Result]:
    """Yields the image, target, action and digest of each result in a file that `write` wrote.

    Args:
        path: Path of the file.
        sha256: Result of `digest`; None for any content.

    Raises:
        UserError: If the file cannot be read, has changed or has no results.
    """
    try:
        yield from _read(path, sha256)
    except OSError as error:
        raise UserError(f"--undo={path} cannot be read: {error.strerror}") from error
    except _PARSE_ERRORS as error:
        raise UserError(
            f"--undo={path} was not written by --results; choose a file that was"
        ) from error


def _write_csv(file: TextIO, results: Iterable[Result], labels: Sequence[str]) -> None:
    writer = csv.writer(file)
    score_columns = (f"score of {label}" for label in labels)
    writer.writerow([*_COLUMNS, *score_columns, _DIGEST_COLUMN, *_UNKNOWN_COLUMNS])
    for result in results:
        fields = [getattr(result, attribute) for attribute in _COLUMNS.values()]
        scores = (result.scores.get(label) for label in labels)
        is_unknown = None if result.is_unknown is None else json.dumps(result.is_unknown)
        writer.writerow([*fields, *scores, result.sha256, result.familiarity, is_unknown])


def _write_json(file: TextIO, results: Iterable[Result]) -> None:
    separator = "["
    for result in results:
        file.write(f"{separator}\n{_to_json(result)}")
        separator = ","
    file.write("[]\n" if separator == "[" else "\n]\n")


def _to_json(result: Result) -> str:
    # "picture" is an older name of "image".
    fields: dict[str, Any] = {"image": result.image}
    columns = _COLUMNS | _UNKNOWN_COLUMNS
    fields |= {column: getattr(result, attribute) for column, attribute in columns.items()}
    fields = {name: value for name, value in fields.items() if value is not None}
    if result.sha256:
        fields[_DIGEST_COLUMN] = result.sha256
    if result.scores:
        fields["scores"] = dict(result.scores)
    text = json.dumps(fields, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # A file name that is not valid UTF-8.
        return json.dumps(fields)
    return text


def _read(path: Path, sha256: str | None = None) -> Iterator[Result]:
    content = _open(path)
    if sha256 is not None:
        # Others cannot change what is in memory.
        with content:
            data = read_bounded(content, _MAX_BYTES)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise OSError(errno.EBUSY, "it is being changed", str(path))
        content = io.BytesIO(data)
    with io.TextIOWrapper(content, encoding="utf-8", errors="surrogateescape", newline="") as file:
        for fields in _records(path.suffix.lower(), file):
            yield _parse(fields)


def _open(path: Path) -> BinaryIO:
    file = open_regular_file(path)
    if os.fstat(file.fileno()).st_size > _MAX_BYTES:
        file.close()
        raise OSError(errno.EFBIG, f"it has more than {_MAX_BYTES / 1e9:.1f} GB", str(path))
    return file


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
    sha256 = fields.get(_DIGEST_COLUMN) or None
    if sha256 is not None and not (isinstance(sha256, str) and _DIGEST.fullmatch(sha256)):
        raise ValueError(f"unexpected digest for {target}")
    return Result(image, target, action, sha256=sha256)


def _undo_fields(result: Result) -> tuple[str, str | None, str | None]:
    return result.image, result.target, result.action


def _is_undone(result: Result) -> bool:
    if result.target is None or result.action == PLANNED:
        return True
    return os.path.lexists(result.image) and not os.path.lexists(result.target)

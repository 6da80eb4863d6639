"""Reads the file with the results of a run that `results_writer` wrote: JSON, CSV or JSON lines."""

import csv
import errno
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

from retrain.errors import UserError
from retrain.system.files.regular_files import open_regular_file, read_bounded
from tools.transfers import digests
from tools.transfers.transfer import ACTIONS

FORMATS = (".json", ".csv", ".jsonl")
FORMAT_LIST = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"

# Action of a dry run.
PLANNED = "planned"

# The columns that `read` needs.
_REQUIRED_COLUMNS = {"picture", "filed", "action"}
# Errors of parsing a file of another program.
_PARSE_ERRORS = (
    *(ValueError, TypeError, KeyError, AttributeError, RecursionError),
    csv.Error,
)
# A million images with the scores of ten labels have 0.6 GB as JSON.
_MAX_BYTES = 1 << 30
_DIGEST = re.compile("[0-9a-f]{64}")


class ImageRecord(NamedTuple):
    """What a results file says about an image, apart from the result of the classifier.

    Attributes:
        image: Original path of the image.
        target: New path of the image, None if it was not transferred.
        action: A value of ACTIONS, or PLANNED. None if the image was not transferred.
        sha256: Result of `digests.of_image`, None if the image was not transferred or an earlier
            version wrote the results.
    """

    image: str
    target: str | None = None
    action: str | None = None
    sha256: str | None = None

    @property
    def is_undone(self) -> bool:
        """Whether there is nothing to undo, or an undo restored the image."""
        if self.target is None or self.action == PLANNED:
            return True
        return os.path.lexists(self.image) and not os.path.lexists(self.target)


def check_format(path: Path) -> None:
    """Raises UserError if the suffix of a path is not one of FORMATS."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"--results={path} has no known format; choose a name that ends with {FORMAT_LIST}"
        )


def check_replaceable(path: Path, own_records: Iterable[ImageRecord]) -> None:
    """Raises UserError if writing results to a path would destroy something that is still needed.

    Results are not needed if there is nothing left to undo, or if they are the current run's own,
    which was interrupted after it wrote them.

    Args:
        path: Path of a results file. It does not have to exist.
        own_records: Records of the current run so far.
    """
    try:
        if not path.exists() or not path.stat().st_size:
            return
        if all(record.is_undone for record in _read(path)):
            return
        if all(existing == own for existing, own in zip_longest(_read(path), own_records)):
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


def digest(path: Path) -> str:
    """Returns the SHA-256 of a results file, in hexadecimal.

    Raises:
        OSError: If the file cannot be read.
    """
    with _open(path) as file:
        return digests.of_file(file.fileno())


def read(path: Path, *, sha256: str | None = None) -> Iterator[ImageRecord]:
    """Yields the record of each image in a results file.

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


def _read(path: Path, sha256: str | None = None) -> Iterator[ImageRecord]:
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


def _parse(fields: Mapping[str, Any]) -> ImageRecord:
    image = fields.get("image") or fields.get("picture")
    target, action = fields.get("filed") or None, fields.get("action") or None
    if not isinstance(image, str) or not isinstance(target, str | None):
        raise ValueError(f"a record has no path of an image: {dict(fields)}")
    if action not in (None, PLANNED, *ACTIONS.values()) or (action is None) != (target is None):
        raise ValueError(f"unexpected action {action} for {target}")
    sha256 = fields.get("sha256") or None
    if sha256 is not None and not (isinstance(sha256, str) and _DIGEST.fullmatch(sha256)):
        raise ValueError(f"unexpected digest for {target}")
    return ImageRecord(image, target, action, sha256)

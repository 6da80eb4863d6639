"""Reads files of labels: one label per line, in the order of a classifier's outputs."""

import codecs
from pathlib import Path

from retrain.errors import UserError
from retrain.model_limits import LIMITS
from retrain.system.files.regular_files import read_regular_file
from retrain.system.outputs.unfinished import settle

_BYTE_ORDER_MARK = "\ufeff"


class LabelsError(Exception):
    """The content is not a list of labels. The message says why, without a file name."""


def read(path: Path, *, flag: str) -> tuple[str, ...]:
    """Returns the labels in a file, as `parse` does.

    Args:
        path: The file.
        flag: Name of the flag that names it, for messages.

    Raises:
        UserError: If the file cannot be read, has no labels, or has an empty one.
    """
    settle(path)
    try:
        return parse(read_regular_file(path))
    except OSError as error:
        raise UserError(
            f"--{flag}={path} cannot be read: {error.strerror}; name a file with one label per line"
        ) from error
    except LabelsError as error:
        raise UserError(f"--{flag}={path} {error}") from error


def parse(content: bytes) -> tuple[str, ...]:
    """Returns the labels in the content of a file.

    Only line feeds end a line, since labels can contain other separators, such as U+2028. Byte
    order marks, spaces around a label and empty lines at the end are ignored, because editors and
    Windows programs add them.

    Args:
        content: Text in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        LabelsError: If the content is not text, is too large, has no labels, or has an empty one.
    """
    if len(content) > LIMITS.labels_bytes:
        raise LabelsError(
            f"has {len(content):,} bytes, more than the limit of {LIMITS.labels_bytes:,}"
        )
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8")
    except UnicodeDecodeError as error:
        raise LabelsError("is not a text file in UTF-8") from error
    # Files that were joined can have byte order marks in the middle.
    labels = [line.strip().lstrip(_BYTE_ORDER_MARK).strip() for line in text.split("\n")]
    while labels and not labels[-1]:
        labels.pop()
    if not labels:
        raise LabelsError("is empty; it needs one label per line")
    if "" in labels:
        raise LabelsError(
            f"has an empty label in line {labels.index('') + 1}; write a label there, or remove "
            "the line"
        )
    longest = max(map(len, labels))
    if len(labels) > LIMITS.labels or longest > LIMITS.label_characters:
        raise LabelsError(
            f"has {len(labels):,} labels of up to {longest:,} characters, more than the limit of "
            f"{LIMITS.labels:,} labels of {LIMITS.label_characters:,}"
        )
    return tuple(labels)

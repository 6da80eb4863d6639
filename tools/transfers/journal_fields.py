"""Checks the types of what a journal contains, since another program could have written it."""

import math
import re
from typing import Any

from tools.transfers import image_names
from tools.transfers.plan import Plan
from tools.transfers.transfer import ACTIONS

# Values of the last fields of a plan that earlier versions did not write.
_NOT_RECORDED: tuple[Any, ...] = (None, None, False)
_HEXADECIMAL = re.compile(r"[0-9a-f]{32,64}")


def parse_settings(settings: Any) -> dict[str, Any]:
    """Returns the settings of a run.

    Raises:
        ValueError: If a value is missing or has an unexpected type.
    """
    folders = [settings["source"], settings["target"]]
    if not all(isinstance(folder, str) and folder.startswith("/") for folder in folders):
        raise ValueError(f"unexpected folders: {folders}")
    if settings["how"] not in ACTIONS or not isinstance(settings["dry_run"], bool):
        raise ValueError("unexpected settings")
    return dict(settings)


def parse_labels(labels: Any) -> tuple[str, ...]:
    """Returns the labels of a classifier.

    Raises:
        ValueError: If they are not strings.
    """
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError("unexpected labels")
    return tuple(labels)


def parse_hexadecimal(value: Any) -> str | None:
    """Returns a key of a run's record or a digest, or None if there is none.

    Raises:
        ValueError: If it is something else.
    """
    if value is not None and not (isinstance(value, str) and _HEXADECIMAL.fullmatch(value)):
        raise ValueError(f"unexpected value: {ascii(value)[:100]}")
    return value


def parse_folders(folders: Any) -> list[str]:
    """Returns the subfolders that a run created, and "." if it created the target folder.

    Raises:
        ValueError: If they are not names of subfolders.
    """
    if not isinstance(folders, list):
        raise ValueError("unexpected folders")
    return [image_names.check_folder(name) for name in folders]


def parse_failures(failures: Any) -> dict[str, str]:
    """Returns the reasons for images that were not transferred, by their number in the batch.

    Raises:
        ValueError: If they are something else.
    """
    if not isinstance(failures, dict) or not all(
        number.isdecimal() and isinstance(reason, str) for number, reason in failures.items()
    ):
        raise ValueError("unexpected failures")
    return failures


def parse_plan(fields: Any) -> Plan:
    """Returns what is planned for an image.

    Raises:
        ValueError: If a value has an unexpected type, or a name does not stay in its folder.
    """
    image, target, label, score, error, scores, *rest = list(fields)
    if target is None:
        image_names.check_name(image)
    else:
        image_names.check_names(image, target)
    if not all(text is None or isinstance(text, str) for text in (label, error)):
        raise ValueError("unexpected label or error")
    if not isinstance(scores, list) or not all(map(_is_score, scores)):
        raise ValueError("unexpected scores")
    if score is not None and not _is_score(score):
        raise ValueError("unexpected score")
    digest, familiarity, is_unknown = [*rest, *_NOT_RECORDED[len(rest) :]]
    if familiarity is not None and not _is_score(familiarity):
        raise ValueError("unexpected familiarity")
    if not isinstance(is_unknown, bool):
        raise ValueError("unexpected decision")
    digest = parse_hexadecimal(digest)
    return Plan(image, target, label, score, error, scores, digest, familiarity, is_unknown)


def _is_score(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

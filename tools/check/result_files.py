"""Writes the result of a check as JSON and CSV."""

import csv
import json
from pathlib import Path
from typing import Any

from retrain.data_check.findings import KIND_OF_NAME, NONE, Finding
from retrain.system.outputs.atomic_files import atomic_file
from tools.check.data_check import CheckResult

_COLUMNS = ("kind", "group", "image", "class", "split", "score", "suggested_class", "detail")


def write_json(path: Path, result: CheckResult) -> None:
    """Writes all findings as JSON. Names that are not valid text are escaped.

    Raises:
        UserError: If the file cannot be written.
    """
    document = {
        "format_version": 1,
        "image_dir": str(result.dataset.image_dir),
        "images": len(result.dataset.images),
        "readable": result.readable_count,
        "with_features": result.feature_count,
        "classes": list(result.dataset.folders),
        "counts": dict(sorted(result.count().items())),
        "findings": [_as_json(finding, result) for finding in result.findings],
    }
    with atomic_file(path, flag="json") as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def _as_json(finding: Finding, result: CheckResult) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "kind": finding.kind,
        "images": [_image_as_json(index, result) for index in finding.images],
        "classes": list(finding.classes),
        "detail": finding.detail,
        "score": finding.score,
        "suggested_class": _suggested_class(finding, result),
        "can_be_moved": KIND_OF_NAME[finding.kind].removal != NONE,
    }
    return {name: value for name, value in fields.items() if value not in (None, [], "")}


def _image_as_json(index: int, result: CheckResult) -> dict[str, str]:
    image = result.dataset.images[index]
    return {
        "path": result.name_image(index),
        "class": result.dataset.folders[image.class_id],
        "split": image.split,
    }


def write_csv(path: Path, result: CheckResult) -> None:
    """Writes a line for each image of each finding.

    The images of a finding have the same number in the column "group".

    Raises:
        UserError: If the file cannot be written.
    """
    with (
        atomic_file(path, flag="csv") as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for group, finding in enumerate(result.findings):
            suggested = _suggested_class(finding, result)
            end = (finding.score, suggested, finding.detail)
            for index in finding.images:
                image = _image_as_json(index, result)
                writer.writerow(
                    (finding.kind, group, image["path"], image["class"], image["split"], *end)
                )
            for name in finding.classes:
                writer.writerow((finding.kind, group, "", name, "", *end))


def _suggested_class(finding: Finding, result: CheckResult) -> str | None:
    if finding.suggested_class is None:
        return None
    return result.dataset.folders[finding.suggested_class]

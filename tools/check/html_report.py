"""Writes the result of a check as one HTML file with thumbnails, for browsers."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from retrain.data_check.findings import KINDS, Finding
from retrain.report.html import thumbnails
from retrain.report.html.page import render, show
from retrain.system.outputs.atomic_files import atomic_file
from tools.check.data_check import CheckResult

_TEMPLATE = Path(__file__).parent / "files" / "report.html"
_THUMBNAIL_SIDE = 128
# Findings of each kind, and images of each finding, that are shown.
_MAX_FINDINGS, _MAX_IMAGES = 60, 6
# The file stays below 5 MB.
_MAX_THUMBNAIL_BYTES = 3_500_000


class _ShownImage(NamedTuple):
    """An image in the report: its name, class, split and a data URL, or None without thumbnail."""

    name: str
    class_name: str
    split: str
    url: str | None


def write_html(path: Path, result: CheckResult) -> None:
    """Writes the report.

    It contains no scripts and loads nothing, and all names are escaped.

    Raises:
        UserError: If the file cannot be written.
    """
    shown = {kind.name: result.of_kind(kind.name)[:_MAX_FINDINGS] for kind in KINDS}
    indices = [i for findings in shown.values() for f in findings for i in f.images[:_MAX_IMAGES]]
    urls = thumbnails.encode_all(
        [result.dataset.images[index].path for index in indices],
        side=_THUMBNAIL_SIDE,
        max_bytes=_MAX_THUMBNAIL_BYTES,
    )
    counts = result.count()
    sections = [
        {
            "kind": kind,
            "count": counts[kind.name],
            "findings": [_shown(finding, result, urls) for finding in shown[kind.name]],
        }
        for kind in KINDS
        if shown[kind.name]
    ]
    text = render(
        _TEMPLATE,
        folder=show(result.dataset.image_dir),
        image_count=len(result.dataset.images),
        class_count=len(result.dataset.labels),
        readable_count=result.readable_count,
        sections=sections,
    )
    with atomic_file(path, flag="html") as temporary:
        temporary.write_text(text, "utf-8")


def _shown(finding: Finding, result: CheckResult, urls: Mapping[Path, str]) -> dict[str, object]:
    folders = result.dataset.folders
    suggested = finding.suggested_class
    return {
        "images": [
            _ShownImage(
                show(result.name_image(index)),
                show(folders[result.dataset.images[index].class_id]),
                result.dataset.images[index].split,
                urls.get(result.dataset.images[index].path),
            )
            for index in finding.images[:_MAX_IMAGES]
        ],
        "more": max(0, len(finding.images) - _MAX_IMAGES),
        "classes": [show(name) for name in finding.classes],
        "detail": show(finding.detail),
        "suggested": None if suggested is None else show(folders[suggested]),
    }

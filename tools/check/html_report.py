"""Writes the result of a check as one HTML file with thumbnails, for browsers."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from retrain.data import image_reader, pixels
from retrain.data_check.findings import KINDS, Finding
from retrain.system.files import atomic_file
from retrain.system.processors import processor_count
from retrain.system.text import one_line
from retrain.system.threads import parallel_map
from tools.check.data_check import CheckResult

_TEMPLATE = Path(__file__).parent / "files" / "report.html"
_THUMBNAIL_SIDE = 128
_QUALITY = 70
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
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_TEMPLATE.read_text("utf-8"))
    shown = {kind.name: result.of_kind(kind.name)[:_MAX_FINDINGS] for kind in KINDS}
    thumbnails = _thumbnails(result, [f for findings in shown.values() for f in findings])
    counts = result.count()
    sections = [
        {
            "kind": kind,
            "count": counts[kind.name],
            "findings": [_shown(finding, result, thumbnails) for finding in shown[kind.name]],
        }
        for kind in KINDS
        if shown[kind.name]
    ]
    text = template.render(
        folder=_text(result.dataset.image_dir),
        image_count=len(result.dataset.images),
        class_count=len(result.dataset.labels),
        readable_count=result.readable_count,
        sections=sections,
    )
    with atomic_file(path) as temporary:
        temporary.write_text(text, "utf-8")


def _shown(finding: Finding, result: CheckResult, thumbnails: dict[int, str]) -> dict[str, object]:
    folders = result.dataset.folders
    suggested = finding.suggested_class
    return {
        "images": [
            _ShownImage(
                _text(result.name_image(index)),
                _text(folders[result.dataset.images[index].class_id]),
                result.dataset.images[index].split,
                thumbnails.get(index),
            )
            for index in finding.images[:_MAX_IMAGES]
        ],
        "more": max(0, len(finding.images) - _MAX_IMAGES),
        "classes": [_text(name) for name in finding.classes],
        "detail": _text(finding.detail),
        "suggested": None if suggested is None else _text(folders[suggested]),
    }


def _text(name: object) -> str:
    """Returns a name as text that can be encoded."""
    return one_line(name).encode("utf-8", "replace").decode()


def _thumbnails(result: CheckResult, findings: Sequence[Finding]) -> dict[int, str]:
    """Returns data URLs of thumbnails by the index of the image, as many as there is room for."""
    indices = dict.fromkeys(i for finding in findings for i in finding.images[:_MAX_IMAGES])
    paths = [result.dataset.images[index].path for index in indices]
    urls: dict[int, str] = {}
    room = _MAX_THUMBNAIL_BYTES
    encoded = parallel_map(_encode, paths, processor_count())
    for index, data in zip(indices, encoded, strict=True):
        if data is None:
            continue
        url = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
        room -= len(url)
        if room < 0:
            break
        urls[index] = url
    return urls


def _encode(path: Path) -> bytes | None:
    """Returns a thumbnail as JPEG, or None if the image cannot be read."""
    try:
        data = image_reader.read(path)
        upright = pixels.decode_upright(data, _THUMBNAIL_SIDE, _THUMBNAIL_SIDE)
    except (OSError, pixels.UnreadableImageError):
        return None
    # Of very long images, the middle is shown.
    side = 4 * min(upright.size)
    left, top = max(0, upright.width - side) // 2, max(0, upright.height - side) // 2
    cropped = upright.crop((left, top, upright.width - left, upright.height - top))
    cropped.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    cropped.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()

"""Keeps the result of the last check of a data set, to show it when a training starts."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from retrain.data.dataset import Dataset
from retrain.data_check.findings import Finding
from retrain.system.files.private_files import read_private
from retrain.system.outputs.atomic_files import write_file
from retrain.system.text import one_line, shell_word

_MAX_BYTES = 100_000
# Findings of each kind whose images are kept, and images of each.
_MAX_EXAMPLES, _MAX_IMAGES = 4, 4
_PROGRAM = "bazel run //tools:check_images -- --image_dir={}"


@dataclass(frozen=True)
class LastCheck:
    """What the last check of a data set found.

    Attributes:
        date: Date of the check, in ISO format.
        counts: Number of findings by the name of their kind, from the most urgent kind on.
        image_count: Number of images that were checked.
        is_current: Whether the data set has the same images as then.
        examples: Images of the first findings of each kind, if the data set has the same images.
    """

    date: str
    counts: Mapping[str, int]
    image_count: int
    is_current: bool
    examples: Mapping[str, tuple[tuple[Path, ...], ...]] = field(default_factory=dict)


def keep(cache_dir: Path, dataset: Dataset, findings: Iterable[Finding]) -> None:
    """Keeps the number of findings of each kind, and the images of the first ones.

    Args:
        cache_dir: Folder of the cache.
        dataset: The data set that was checked.
        findings: Findings, from the most urgent kind on.

    Raises:
        UserError: If the file cannot be written.
    """
    counts: Counter[str] = Counter()
    examples: dict[str, list[tuple[int, ...]]] = {}
    for finding in findings:
        if finding.images and counts[finding.kind] < _MAX_EXAMPLES:
            examples.setdefault(finding.kind, []).append(
                tuple(map(int, finding.images[:_MAX_IMAGES]))
            )
        counts[finding.kind] += 1
    summary = {
        "date": datetime.now().astimezone().date().isoformat(),
        "images": len(dataset.images),
        "names": _digest_of_names(dataset),
        "counts": counts,
        "examples": examples,
    }
    write_file(_path(cache_dir, dataset), json.dumps(summary) + "\n")


def read(cache_dir: Path, dataset: Dataset) -> LastCheck | None:
    """Returns what the last check found, or None if there was none or its file is damaged.

    Args:
        cache_dir: Folder of the cache.
        dataset: The data set.
    """
    try:
        summary = json.loads(read_private(_path(cache_dir, dataset), max_bytes=_MAX_BYTES))
        is_current = summary["names"] == _digest_of_names(dataset)
        return LastCheck(
            date=datetime.fromisoformat(summary["date"]).date().isoformat(),
            counts={str(kind): int(count) for kind, count in summary["counts"].items()},
            image_count=int(summary["images"]),
            is_current=is_current,
            # Checks of earlier versions have none.
            examples=_find_paths(summary.get("examples", {}), dataset) if is_current else {},
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _find_paths(
    examples: Mapping[str, list[list[int]]], dataset: Dataset
) -> dict[str, tuple[tuple[Path, ...], ...]]:
    return {
        str(kind): tuple(tuple(dataset.images[index].path for index in one) for one in findings)
        for kind, findings in examples.items()
    }


def log_summary(cache_dir: Path, dataset: Dataset) -> LastCheck | None:
    """Logs what the last check found, or how to run one. Reads no images and computes nothing.

    Returns:
        The result of `read`.
    """
    command = _PROGRAM.format(shell_word(dataset.image_dir))
    check = read(cache_dir, dataset)
    if check is None:
        logging.info(
            "Data check: none yet. To find duplicates, wrong labels and bad images: %s", command
        )
        return None
    counts = ", ".join(
        f"{count:,} {one_line(kind).replace('_', ' ')}" for kind, count in check.counts.items()
    )
    changed = ""
    if not check.is_current:
        changed = f" The images have changed since: {check.image_count:,} then."
    logging.info("Data check of %s: %s.%s", check.date, counts or "no problems", changed)
    if counts or changed:
        logging.info("Details: %s", command)
    return check


def _path(cache_dir: Path, dataset: Dataset) -> Path:
    folder = hashlib.sha256(str(dataset.image_dir).encode("utf-8", "surrogateescape"))
    return cache_dir / f"data_check-{folder.hexdigest()[:16]}.json"


def _digest_of_names(dataset: Dataset) -> str:
    digest = hashlib.sha256()
    for image in dataset.images:
        digest.update(str(image.path).encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()

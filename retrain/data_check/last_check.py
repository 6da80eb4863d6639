"""Keeps the result of the last check of a data set, to show it when a training starts."""

import hashlib
import json
import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from retrain.data.dataset import Dataset
from retrain.system.files import write_file
from retrain.system.private_files import open_private
from retrain.system.text import one_line

_MAX_BYTES = 100_000
_PROGRAM = "bazel run //tools:check_images -- --image_dir={}"


@dataclass(frozen=True)
class LastCheck:
    """What the last check of a data set found.

    Attributes:
        date: Date of the check, in ISO format.
        counts: Number of findings by the name of their kind, from the most urgent kind on.
        image_count: Number of images that were checked.
        is_current: Whether the data set has the same images as then.
    """

    date: str
    counts: Mapping[str, int]
    image_count: int
    is_current: bool


def keep(cache_dir: Path, dataset: Dataset, counts: Mapping[str, int]) -> None:
    """Keeps the number of findings of each kind, and which images they are about.

    Args:
        cache_dir: Folder of the cache.
        dataset: The data set that was checked.
        counts: Number of findings by the name of their kind, from the most urgent kind on.

    Raises:
        UserError: If the file cannot be written.
    """
    summary = {
        "date": datetime.now().astimezone().date().isoformat(),
        "images": len(dataset.images),
        "names": _digest_of_names(dataset),
        "counts": dict(counts),
    }
    write_file(_path(cache_dir, dataset), json.dumps(summary) + "\n")


def read(cache_dir: Path, dataset: Dataset) -> LastCheck | None:
    """Returns what the last check found, or None if there was none or its file is damaged.

    Args:
        cache_dir: Folder of the cache.
        dataset: The data set.
    """
    try:
        with open(_path(cache_dir, dataset), "rb", opener=open_private) as file:
            summary = json.loads(file.read(_MAX_BYTES))
        return LastCheck(
            date=datetime.fromisoformat(summary["date"]).date().isoformat(),
            counts={str(kind): int(count) for kind, count in summary["counts"].items()},
            image_count=int(summary["images"]),
            is_current=summary["names"] == _digest_of_names(dataset),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def log_summary(cache_dir: Path, dataset: Dataset) -> None:
    """Logs what the last check found, or how to run one. Reads no images and computes nothing."""
    command = _PROGRAM.format(shlex.quote(one_line(dataset.image_dir)))
    check = read(cache_dir, dataset)
    if check is None:
        logging.info(
            "Data check: none yet. To find duplicates, wrong labels and bad images: %s", command
        )
        return
    counts = ", ".join(
        f"{count:,} {one_line(kind).replace('_', ' ')}" for kind, count in check.counts.items()
    )
    changed = ""
    if not check.is_current:
        changed = f" The images have changed since: {check.image_count:,} then."
    logging.info("Data check of %s: %s.%s", check.date, counts or "no problems", changed)
    if counts or changed:
        logging.info("Details: %s", command)


def _path(cache_dir: Path, dataset: Dataset) -> Path:
    folder = hashlib.sha256(str(dataset.image_dir).encode("utf-8", "surrogateescape"))
    return cache_dir / f"data_check-{folder.hexdigest()[:16]}.json"


def _digest_of_names(dataset: Dataset) -> str:
    digest = hashlib.sha256()
    for image in dataset.images:
        digest.update(str(image.path).encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()

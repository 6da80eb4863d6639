"""Keeps the result of the last check of a data set, to show it when a training starts."""

import hashlib
import json
import logging
import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from retrain.data.dataset import Dataset
from retrain.system.files import write_file
from retrain.system.private_files import open_private
from retrain.system.text import one_line

_MAX_BYTES = 100_000
_PROGRAM = "bazel run //tools:check_images -- --image_dir={}"


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


def log_summary(cache_dir: Path, dataset: Dataset) -> None:
    """Logs what the last check found, or how to run one. Reads no images and computes nothing."""
    command = _PROGRAM.format(shlex.quote(one_line(dataset.image_dir)))
    summary = _read(_path(cache_dir, dataset))
    if summary is None:
        logging.info(
            "Data check: none yet. To find duplicates, wrong labels and bad images: %s", command
        )
        return
    counts = ", ".join(
        f"{count:,} {one_line(kind).replace('_', ' ')}" for kind, count in summary["counts"].items()
    )
    changed = ""
    if summary["names"] != _digest_of_names(dataset):
        changed = f" The images have changed since: {summary['images']:,} then."
    logging.info("Data check of %s: %s.%s", summary["date"], counts or "no problems", changed)
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


def _read(path: Path) -> dict[str, Any] | None:
    """Returns the content of the file, or None if it is missing or damaged."""
    try:
        with open(path, "rb", opener=open_private) as file:
            summary = json.loads(file.read(_MAX_BYTES))
        date = datetime.fromisoformat(summary["date"]).date().isoformat()
        counts = {str(kind): int(count) for kind, count in summary["counts"].items()}
        names, images = str(summary["names"]), int(summary["images"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return {"date": date, "counts": counts, "names": names, "images": images}

"""Backbones that are made once from somebody's files and then kept beside the bottlenecks."""

import dataclasses
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

from retrain.backbones.spec import Backbone
from retrain.runtime import atomic_folder

GRAPH = "graph.pb"
FLATBUFFER = "network.tflite"
KERAS = "network.keras"

_FOLDER = "backbones"
_DESCRIPTION = "backbone.json"
_NOT_FOR_FILE_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclasses.dataclass(frozen=True)
class Description:
    """All of a Backbone but its files; the attributes are those."""

    name: str
    fingerprint: str
    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channel_order: str
    feature_width: int
    fine_tuned: bool = False


def backbone(
    cache_dir: Path, name: str, fingerprint: str, make: Callable[[Path], Description]
) -> Backbone:
    """Returns the backbone in the cache, which is made there where it is missing.

    Nothing but its description is read, so that TensorFlow is not needed for a kept one.

    Args:
        cache_dir: the folder of the cache.
        name: of the backbone.
        fingerprint: of all that decides its features.
        make: writes GRAPH and, where there are such, FLATBUFFER and KERAS to a folder.

    Raises:
        UserError: the folder cannot be written, or what `make` raises.
    """
    safe_name = _NOT_FOR_FILE_NAMES.sub("_", name)
    folder = cache_dir / _FOLDER / f"{safe_name}-{fingerprint[:16]}"
    kept = _read(folder)
    if kept is None or kept.fingerprint != fingerprint:
        logging.info("Preparing %s, which is done once; it is kept in %s.", name, folder)
        with atomic_folder(folder) as new:
            _describe(make(new), new)
        kept = _read(folder)
        assert kept is not None
    return kept


def _describe(description: Description, folder: Path) -> None:
    sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    content = {"files": sizes, **dataclasses.asdict(description)}
    (folder / _DESCRIPTION).write_text(json.dumps(content, indent=2) + "\n")


def _read(folder: Path) -> Backbone | None:
    """Returns what is in the folder; None where that is nothing, or not all of it."""
    try:
        fields = json.loads((folder / _DESCRIPTION).read_text())
        sizes = fields.pop("files")
        if any((folder / name).stat().st_size != size for name, size in sizes.items()):
            return None
        for name in ("mean", "std"):
            fields[name] = tuple(fields[name])
        files = {name: folder / name if name in sizes else None for name in (FLATBUFFER, KERAS)}
        return Backbone(
            **fields,
            graph_file=folder / GRAPH,
            flatbuffer_file=files[FLATBUFFER],
            keras_file=files[KERAS],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None

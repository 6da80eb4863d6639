"""Backbones that are made once from somebody's files and then kept beside the bottlenecks."""

import contextlib
import dataclasses
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from retrain.backbones.backbone import Backbone
from retrain.errors import UserError
from retrain.system.files import atomic_folder
from retrain.system.locks import alone

GRAPH_FILE = "graph.pb"
TFLITE_FILE = "network.tflite"
KERAS_FILE = "network.keras"

_FOLDER = "backbones"
_DESCRIPTION = "backbone.json"
_NOT_FOR_FILE_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclasses.dataclass(frozen=True)
class BackboneInfo:
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


def load_or_prepare(
    cache_dir: Path, name: str, made_from: str, make: Callable[[Path], BackboneInfo]
) -> Backbone:
    """Returns the backbone in the cache, which is made there where it is missing.

    Nothing but its description is read, so that TensorFlow is not needed for a kept one. Of several
    processes that want it at once, one makes it, and the others wait.

    Args:
        cache_dir: the folder of the cache.
        name: of the backbone.
        made_from: digest of all that it is made from.
        make: writes GRAPH_FILE and, where there are such, TFLITE_FILE and KERAS_FILE to a folder, and whatever
            else is to be kept beside them.

    Raises:
        UserError: the folder cannot be written, or what `make` raises.
    """
    safe_name = _NOT_FOR_FILE_NAMES.sub("_", name)
    folder = cache_dir / _FOLDER / f"{safe_name}-{made_from[:16]}"
    kept = _read(folder, made_from)
    if kept is None:
        with _alone(folder, name):
            # Another process may have made it meanwhile.
            kept = _read(folder, made_from) or _made(folder, name, made_from, make)
    return kept


@contextlib.contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = folder.with_name(f".lock-{folder.name}")
            stack.enter_context(alone(lock, f"Another run prepares {name}; waiting for it."))
        except OSError as error:
            raise UserError(f"{folder} cannot be written: {error.strerror}") from error
        yield


def _made(
    folder: Path, name: str, made_from: str, make: Callable[[Path], BackboneInfo]
) -> Backbone:
    logging.info("Preparing %s, which is done once; it is kept in %s.", name, folder)
    with atomic_folder(folder) as new:
        _describe(make(new), made_from, new)
    made = _read(folder, made_from)
    assert made is not None
    return made


def _describe(description: BackboneInfo, made_from: str, folder: Path) -> None:
    sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    content = {"files": sizes, "made_from": made_from, **dataclasses.asdict(description)}
    (folder / _DESCRIPTION).write_text(json.dumps(content, indent=2) + "\n")


def _read(folder: Path, made_from: str) -> Backbone | None:
    """Returns what is in the folder; None where that is nothing, not all of it, or another one."""
    try:
        fields = json.loads((folder / _DESCRIPTION).read_text())
        sizes = fields.pop("files")
        if fields.pop("made_from") != made_from:
            return None
        if any((folder / name).stat().st_size != size for name, size in sizes.items()):
            return None
        for name in ("mean", "std"):
            fields[name] = tuple(fields[name])
        files = {
            name: folder / name if name in sizes else None for name in (TFLITE_FILE, KERAS_FILE)
        }
        return Backbone(
            **fields,
            graph_file=folder / GRAPH_FILE,
            tflite_file=files[TFLITE_FILE],
            keras_file=files[KERAS_FILE],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None

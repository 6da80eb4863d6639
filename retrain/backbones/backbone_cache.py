"""Keeps prepared backbones next to the cached bottlenecks, so that each is prepared only once."""

import contextlib
import dataclasses
import json
import logging
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from retrain.backbones.backbone import Backbone, BackboneInfo
from retrain.errors import UserError
from retrain.system.files import checksums
from retrain.system.files.locks import exclusive_access
from retrain.system.files.private_files import create_private_folders
from retrain.system.outputs.atomic_files import atomic_folder

GRAPH_FILE = "graph.pb"
TFLITE_FILE = "network.tflite"
KERAS_FILE = "network.keras"

_FOLDER = "backbones"
_INFO_FILE = "backbone.json"
_NOT_FOR_FILE_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def load_or_prepare(
    cache_dir: Path, name: str, source_digest: str, prepare: Callable[[Path], BackboneInfo]
) -> Backbone:
    """Returns a backbone from the cache, after preparing it if it is not there.

    Loading a cached backbone does not need TensorFlow. One that is damaged is prepared again. If
    several processes need the same backbone at once, one prepares it and the others wait.

    Args:
        cache_dir: Folder of the cache.
        name: Name of the backbone.
        source_digest: Hash of everything that the backbone is made from.
        prepare: Function that writes GRAPH_FILE, optionally TFLITE_FILE and KERAS_FILE, and any
            other files to keep, to a folder.

    Raises:
        UserError: If the folder cannot be written, or if `prepare` raises it.
    """
    safe_name = _NOT_FOR_FILE_NAMES.sub("_", name)
    folder = cache_dir / _FOLDER / f"{safe_name}-{source_digest[:16]}"
    backbone = _read(folder, source_digest)
    if backbone is None:
        with _locked(folder, name):
            # Another process may have prepared it while this one waited for the lock.
            backbone = _read(folder, source_digest) or _prepare(
                folder, name, source_digest, prepare
            )
    return backbone


@contextlib.contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            create_private_folders(folder.parent)
            waiting_message = f"Another run is preparing {name}; waiting for it."
            stack.enter_context(exclusive_access(folder, waiting_message))
        except OSError as error:
            raise UserError(
                f"{folder} cannot be written: {error.strerror}; choose another --bottleneck_dir"
            ) from error
        yield


def _prepare(
    folder: Path, name: str, source_digest: str, prepare: Callable[[Path], BackboneInfo]
) -> Backbone:
    logging.info("Preparing %s. This is done only once; the result is kept in %s.", name, folder)
    if folder.exists():
        logging.warning("%s is damaged, or of another version, and will be replaced.", folder)
    with atomic_folder(folder) as new:
        _write_info(prepare(new), source_digest, new)
        checksums.write_checksums(new)
    backbone = _read(folder, source_digest)
    assert backbone is not None
    if backbone.tflite_file is None:
        logging.info("TFLite does not support all operations of %s; TensorFlow runs it.", name)
    return backbone


def _write_info(info: BackboneInfo, source_digest: str, folder: Path) -> None:
    sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    content = {"files": sizes, "made_from": source_digest, **dataclasses.asdict(info)}
    for key in ("needs_trust", "stage_widths"):
        if not content[key]:
            # Earlier versions refuse keys that they do not have.
            del content[key]
    (folder / _INFO_FILE).write_text(json.dumps(content, indent=2) + "\n")


def _read(folder: Path, source_digest: str) -> Backbone | None:
    """Returns the backbone in a folder, or None if it is missing, damaged or a different one."""
    try:
        fields = json.loads((folder / _INFO_FILE).read_text())
        sizes = fields.pop("files")
        if fields.pop("made_from") != source_digest:
            return None
        if any((folder / name).stat().st_size != size for name, size in sizes.items()):
            return None
        if not checksums.are_right(folder):
            return None
        return Backbone(
            **_typed(fields),
            graph_file=folder / GRAPH_FILE,
            tflite_file=folder / TFLITE_FILE if TFLITE_FILE in sizes else None,
            keras_file=folder / KERAS_FILE if KERAS_FILE in sizes else None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns the attributes of a backbone, or raises an exception if they are impossible."""
    for name in ("height", "width", "feature_width"):
        if type(fields[name]) is not int or fields[name] < 1:
            raise ValueError(name)
    for name in ("name", "fingerprint", "channel_order"):
        if not isinstance(fields[name], str):
            raise TypeError(name)
    for name in ("mean", "std"):
        red, green, blue = map(float, fields[name])
        fields[name] = (red, green, blue)
        if not all(map(math.isfinite, fields[name])):
            raise ValueError(name)
    fields["stage_widths"] = _stage_widths(fields)
    return fields


def _stage_widths(fields: dict[str, Any]) -> tuple[int, ...]:
    """Returns the widths of the earlier stages, which are not all of the features."""
    widths = tuple(fields.get("stage_widths", ()))
    if any(type(width) is not int or width < 1 for width in widths):
        raise ValueError("stage_widths")
    if sum(widths) >= fields["feature_width"]:
        raise ValueError("stage_widths")
    return widths

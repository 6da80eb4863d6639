"""Looks up the digests of files that have not changed since they were read."""

from collections.abc import Sequence
from pathlib import Path

from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.store import BottleneckStore


def get_digests(store: BottleneckStore, paths: Sequence[Path]) -> list[bytes | None]:
    """Returns the SHA-256 of each file, or None if it is unknown or the file is not there."""
    versions = [_file_version(path) for path in paths]
    known = iter(store.get_digests([version for version in versions if version]))
    return [next(known) if version else None for version in versions]


def _file_version(path: Path) -> FileVersion | None:
    try:
        return FileVersion.from_stat(path.stat())
    except OSError:
        return None

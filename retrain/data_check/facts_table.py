"""Gets the digests and the facts of image files, from the cache or from the files."""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain.bottlenecks.cached_records import get_records, put_records
from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.store import BottleneckStore
from retrain.data.image_limits import DEFAULT_LIMITS
from retrain.data.pixels import PREPROCESSING_VERSION, UnreadableImageError
from retrain.data_check import image_facts
from retrain.data_check.image_facts import FACTS
from retrain.system.batches import batches
from retrain.system.files.regular_files import open_regular_file, read_bounded
from retrain.system.processors import processor_count
from retrain.system.progress import ProgressBar
from retrain.system.threads import parallel_map

_RECIPE = json.dumps(
    {"image_facts": image_facts.VERSION, "preprocessing": PREPROCESSING_VERSION}, sort_keys=True
)

_IMAGES_PER_WRITE = 256


@dataclass(frozen=True)
class FactsTable:
    """What is known about N image files.

    Attributes:
        digests: SHA-256 of each file; None if it could not be read.
        facts: FACTS [N]; zeros for images that could not be decoded.
        problems: Reason for each image that could not be read or decoded, by its index.
    """

    digests: tuple[bytes | None, ...]
    facts: np.ndarray
    problems: dict[int, str]


class _Measured(NamedTuple):
    """What was read from a file: its version, SHA-256 and facts, or what is wrong with it."""

    row: int
    version: FileVersion | None
    digest: bytes | None
    facts: np.ndarray | None
    problem: str | None


def measure_all(paths: Sequence[Path], store: BottleneckStore) -> FactsTable:
    """Returns the facts of all files. Reads only files that are new or have changed.

    Raises:
        UserError: If the cache cannot be used.
    """
    start_ns = time.time_ns()
    digests, facts, present = _read_known(paths, store)
    problems: dict[int, str] = {}
    missing = np.flatnonzero(~present).tolist()
    measured = parallel_map(lambda index: _measure(index, paths[index]), missing, processor_count())
    with ProgressBar(len(missing), "Reading images") as progress:
        for batch in batches(measured, _IMAGES_PER_WRITE):
            _write(batch, store, start_ns)
            progress.add(len(batch))
            for result in batch:
                digests[result.row] = result.digest
                if result.facts is not None:
                    facts[result.row] = result.facts
                if result.problem is not None:
                    problems[result.row] = result.problem
    return FactsTable(tuple(digests), facts, problems)


def _read_known(
    paths: Sequence[Path], store: BottleneckStore
) -> tuple[list[bytes | None], np.ndarray, np.ndarray]:
    """Returns the digests and the facts in the cache, and whether the facts of each were there."""
    digests = store.get_digests([FileVersion.of(path) for path in paths])
    facts, present = get_records(store, _RECIPE, digests, FACTS)
    return digests, facts, present


def _measure(index: int, path: Path) -> _Measured:
    version = digest = None
    try:
        with open_regular_file(path) as file:
            version = FileVersion.from_stat(os.fstat(file.fileno()))
            data = read_bounded(file, DEFAULT_LIMITS.file_bytes)
        digest = hashlib.sha256(data).digest()
        return _Measured(index, version, digest, image_facts.measure(data), None)
    except OSError as error:
        return _Measured(index, version, None, None, error.strerror or str(error))
    except UnreadableImageError as error:
        return _Measured(index, version, digest, None, str(error))


def _write(results: Iterable[_Measured], store: BottleneckStore, start_ns: int) -> None:
    readable = [
        (result.version, result.digest, result.facts)
        for result in results
        if result.version and result.digest and result.facts is not None
    ]
    put_facts(store, [(digest, facts) for _, digest, facts in readable])
    store.put_digests(
        [(version, digest) for version, digest, _ in readable if version.is_settled(start_ns)]
    )


def put_facts(store: BottleneckStore, rows: Iterable[tuple[bytes, np.ndarray]]) -> None:
    """Stores the facts of images with these SHA-256."""
    put_records(store, _RECIPE, rows)

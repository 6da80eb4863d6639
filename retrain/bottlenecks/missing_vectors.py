"""Computes the bottlenecks that the cache does not have, and stores them."""

import logging
import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeAlias

from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.batch_writer import BatchWriter
from retrain.bottlenecks.store import BottleneckStore
from retrain.bottlenecks.vector_computer import ImageVectors, VectorComputer
from retrain.bottlenecks.vector_table import VectorTable
from retrain.errors import UserError
from retrain.system.batches import batches
from retrain.system.progress import ProgressBar
from retrain.system.text import name_some
from retrain.system.threads import load_in_background, parallel_map

# Minimum fraction of the batches of a network that have an image.
_MIN_FULL = 0.95

_TableVectors: TypeAlias = tuple[VectorTable, list[ImageVectors]]


class _Batch(NamedTuple):
    """Images of one table that a thread processes together.

    Attributes:
        table: The table.
        computer: Computes bottlenecks of its images.
        rows: Indices of the images in the table.
    """

    table: VectorTable
    computer: VectorComputer
    rows: list[int]

    def compute(self) -> _TableVectors:
        """Returns the table, and what was computed for the images."""
        return self.table, self.computer.compute(self.rows)


def compute_missing(
    tables: Iterable[VectorTable], backbone: Backbone, store: BottleneckStore, *, strict: bool
) -> None:
    """Completes the tables, except for unreadable images, and stores what is computed.

    Args:
        tables: Tables with what the cache has. Their engines are loaded only if bottlenecks are
            missing.
        backbone: Network that computes the bottlenecks.
        store: Cache.
        strict: Whether an unreadable image is an error.

    Raises:
        UserError: If the cache cannot be used, an image cannot be read and `strict` is set, or the
            network returns numbers that do not fit into float16.
    """
    # Stored vectors of files that are new here are read last, and can prove to be damaged. In the
    # second round, they are computed, too.
    for use_stored in (True, False):
        incomplete = [table for table in tables if table.incomplete_rows()]
        if incomplete:
            # The threads have ended when an error is reported.
            with closing(_compute(incomplete, backbone, store, use_stored=use_stored)) as results:
                _fill(incomplete, results, store, strict=strict)


def _compute(
    tables: Sequence[VectorTable], backbone: Backbone, store: BottleneckStore, *, use_stored: bool
) -> Generator[_TableVectors, None, None]:
    """Yields the missing bottlenecks of all tables, in the order of the images."""

    def make_batches() -> Iterator[_Batch]:
        for table in tables:
            network = table.engine.load()
            stored = table.stored_variants(store) if use_stored else {}
            computer = VectorComputer(
                table.images, backbone, network, table.distortions, stored=stored
            )
            incomplete = table.incomplete_rows()
            most = max(table.count_missing(row) for row in incomplete)
            for rows in batches(incomplete, _images_per_batch(most, network.batch_size)):
                yield _Batch(table, computer, rows)

    workers = tables[0].engine.load().workers
    for table in tables[1:]:
        # Threads already work on the first images while TensorFlow is loaded for others.
        load_in_background(table.engine.load)
    return parallel_map(_Batch.compute, make_batches(), workers)


def _images_per_batch(variants: int, batch_size: int) -> int:
    """Returns the least number of images whose variants nearly fill the batches of a network.

    TensorFlow takes less time for an image in a full batch.

    Args:
        variants: Number of variants of each image that the network runs on.
        batch_size: Number of variants that the network runs on together.
    """

    def is_nearly_full(images: int) -> bool:
        places = batch_size * math.ceil(images * variants / batch_size)
        return images * variants > _MIN_FULL * places

    return next(filter(is_nearly_full, range(1, batch_size + 1)))


def _fill(
    tables: Sequence[VectorTable],
    results: Iterable[_TableVectors],
    store: BottleneckStore,
    *,
    strict: bool,
) -> None:
    """Adds results to their tables and to the store as they arrive."""
    doubts: list[tuple[Path, str]] = []
    total = sum(table.count_missing() for table in tables)
    with ProgressBar(total, "Bottlenecks") as progress, BatchWriter(store) as writer:
        for table, vectors in results:
            for result in vectors:
                progress.add(table.count_missing(result.row))
                path = table.images[result.row].path
                if result.problem is not None:
                    _skip(path, result.problem, strict=strict)
                    table.mark_unreadable(result.row, result.problem)
                    continue
                doubts += [(path, doubt) for doubt in result.doubts[:1]]
                table.add(result)
                writer.add(table.recipes, result)
    if doubts:
        paths = [path for path, _ in doubts]
        logging.warning("%s: %s.", name_some(paths, most=1), doubts[0][1])
    for table in tables:
        # The store has what was not computed, since a file is a copy or only its times changed.
        table.read(store, table.incomplete_rows())


def _skip(path: Path, problem: str, *, strict: bool) -> None:
    if strict:
        raise UserError(
            f"{path} cannot be read: {problem}; repair or remove it, or run without --strict"
        )
    logging.warning("Skipped %s, which cannot be read: %s.", path, problem)

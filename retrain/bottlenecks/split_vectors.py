"""Gets the bottlenecks of the images of one split, from the cache or the network."""

import logging
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from retrain.backbones.backbone import Backbone
from retrain.backbones.engines import Engine
from retrain.bottlenecks.batch_writer import BatchWriter
from retrain.bottlenecks.recipes import Recipes
from retrain.bottlenecks.store import BottleneckStore
from retrain.bottlenecks.vector_computer import ImageVectors, VectorComputer
from retrain.bottlenecks.vector_table import VectorTable
from retrain.data.dataset import ImageFile
from retrain.errors import UserError
from retrain.system.batches import batches
from retrain.system.progress import ProgressBar
from retrain.system.text import name_some
from retrain.system.threads import parallel_map
from retrain.training_options import DistortionOptions


def compute_split(
    images: Sequence[ImageFile],
    backbone: Backbone,
    engine: Engine,
    store: BottleneckStore,
    *,
    distortions: DistortionOptions,
    strict: bool,
) -> VectorTable:
    """Reads the bottlenecks of the images from the cache, and computes and stores the others.

    Args:
        images: Images of the split.
        backbone: Network that computes the bottlenecks.
        engine: Engine that runs the network. It is loaded only if bottlenecks are missing.
        store: Cache.
        distortions: Kinds, limits and number of the distortions of each image.
        strict: Whether an unreadable image is an error.

    Returns:
        A table without missing bottlenecks, except those of unreadable images.

    Raises:
        UserError: If the cache cannot be used, an image cannot be read and `strict` is set, or the
            network returns numbers that do not fit into float16.
    """
    table = VectorTable(
        images,
        Recipes.build(engine.recipe, distortions),
        variants=1 + distortions.cached,
        feature_width=backbone.feature_width,
        folder=store.folder,
    )
    table.read_known_files(store)
    # Stored vectors of files that are new here are read last, and can prove to be damaged. In the
    # second round, they are computed, too.
    for use_stored in (True, False):
        if rows := table.incomplete_rows():
            network = engine.load()
            stored = table.stored_variants(store) if use_stored else {}
            computer = VectorComputer(images, backbone, network, distortions, stored=stored)
            size = max(1, network.batch_size // (1 + distortions.cached))
            results = parallel_map(computer.compute, batches(rows, size), network.workers)
            with ProgressBar(table.count_missing(rows), "Bottlenecks") as progress:
                _fill(table, chain.from_iterable(results), store, progress, strict=strict)
    return table


def _fill(
    table: VectorTable,
    results: Iterable[ImageVectors],
    store: BottleneckStore,
    progress: ProgressBar,
    *,
    strict: bool,
) -> None:
    """Adds the results to the table and the store as they arrive."""
    partly_stored = []
    doubtful: list[tuple[Path, str]] = []
    with BatchWriter(store, table.recipes) as writer:
        for result in results:
            progress.add(table.count_missing([result.row]))
            if result.problem is not None:
                _skip(table, result.row, result.problem, strict=strict)
                continue
            doubtful += [(table.images[result.row].path, doubt) for doubt in result.doubts[:1]]
            table.add(result)
            writer.add(result)
            if table.count_missing([result.row]):
                # The store has the others, because the file is a copy or only its times changed.
                partly_stored.append(result.row)
    table.read(store, partly_stored)
    if doubtful:
        paths, doubts = zip(*doubtful, strict=True)
        logging.warning("%s: %s.", name_some(paths, most=1), doubts[0])


def _skip(table: VectorTable, row: int, problem: str, *, strict: bool) -> None:
    path = table.images[row].path
    if strict:
        raise UserError(
            f"{path} cannot be read: {problem}; repair or remove it, or run without --strict"
        )
    logging.warning("Skipped %s, which cannot be read: %s.", path, problem)
    table.mark_unreadable(row, problem)

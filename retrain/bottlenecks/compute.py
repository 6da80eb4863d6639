"""Gets the bottlenecks of all images of a data set, from the cache or the network."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from retrain.backbones import engines
from retrain.backbones.backbone import Backbone
from retrain.bottlenecks import int8_network
from retrain.bottlenecks.duplicates import warn_of_duplicates, warn_of_equal_vectors
from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.split_tables import SplitTables
from retrain.bottlenecks.store import BottleneckStore, open_store
from retrain.data.dataset import Dataset
from retrain.training_options import NO_DISTORTIONS, DistortionOptions

# Returns the data set with groups of images that must be in one split. It receives the SHA-256 of
# the file of each image, and the cache.
GroupImages: TypeAlias = Callable[[Dataset, Mapping[Path, bytes], BottleneckStore], Dataset]


def compute_bottlenecks(
    dataset: Dataset,
    backbone: Backbone,
    engine: str,
    cache_dir: Path,
    *,
    strict: bool = False,
    distortions: DistortionOptions = NO_DISTORTIONS,
    warn_duplicates: bool = True,
    group: GroupImages | None = None,
) -> Bottlenecks:
    """Computes the bottlenecks of all images, except those that are in the cache.

    Several threads read and decode batches of images and run the network. The bottlenecks are
    stored as they are computed. Memory holds all bottlenecks, but only a few images.

    Args:
        dataset: Images to compute bottlenecks of.
        backbone: Network that computes the bottlenecks.
        engine: Name of the engine that runs the network, one of `engines.NAMES`.
        cache_dir: Folder of the cache.
        strict: Whether an unreadable image is an error.
        distortions: Kinds, limits and number of the distortions of training images. Validation and
            test images are never distorted.
        warn_duplicates: Whether to warn of identical files in different classes or splits.
        group: Keeps images that resemble each other in one split. If this needs images that were
            never read, their undistorted bottlenecks are computed first. None for no groups.

    Raises:
        UserError: If the engine or the cache cannot be used, the disk is full, or too few images
            can be read.
    """
    name = engines.resolve(engine)
    network = None
    if name == engines.INT8:
        # Before the images are grouped, so that all runs measure the value ranges on the same ones.
        network = int8_network.load_or_quantise(dataset, backbone, cache_dir)
    training_engine = evaluation_engine = engines.create(name, backbone, int8_network=network)
    if (evaluation_name := engines.for_evaluation(name)) != name:
        evaluation_engine = engines.create(evaluation_name, backbone)
    with open_store(cache_dir) as store, training_engine, evaluation_engine:
        tables = SplitTables(
            backbone,
            store,
            training_engine=training_engine,
            evaluation_engine=evaluation_engine,
            strict=strict,
        )
        if group:
            digests = _known_digests(dataset, store)
            if not digests:
                # Variants are computed when it is certain which images are training images.
                dataset = tables.fill(dataset, NO_DISTORTIONS)
                digests = tables.digests()
            dataset = group(dataset, digests, store)
        dataset = tables.fill(dataset, distortions)
    _warn(tables, store, warn_duplicates=warn_duplicates)
    return Bottlenecks(
        dataset=dataset,
        engine=name,
        splits={
            # The images as they were grouped, maybe after the table was filled.
            split: SplitFeatures.of(dataset.split(split), table.vectors)
            for split, table in tables.by_split.items()
        },
        computed_count=tables.computed_count,
        unreadable=tables.unreadable,
        reused_count=tables.count_reused(),
        int8_network=network,
        digests=tables.digests(),
    )


def _known_digests(dataset: Dataset, store: BottleneckStore) -> dict[Path, bytes] | None:
    """Returns the SHA-256 of each file, or None if the cache does not know all files."""
    paths = [image.path for image in dataset.images]
    digests = store.get_digests([FileVersion.of(path) for path in paths])
    if not all(digests):
        return None
    return {path: digest for path, digest in zip(paths, digests, strict=True) if digest}


def _warn(tables: SplitTables, store: BottleneckStore, *, warn_duplicates: bool) -> None:
    if store.damaged_count:
        logging.warning(
            "Damaged bottlenecks in %s: %d. They have been computed again.",
            store.folder,
            store.damaged_count,
        )
    warn_of_equal_vectors(table.vectors[:, 0] for table in tables.by_split.values())
    if warn_duplicates:
        warn_of_duplicates(tables.images_and_digests())

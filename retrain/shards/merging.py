"""Copies the bottlenecks in shards to the local cache, from which a training reads them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain.backbones import engines
from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.recipes import Recipes
from retrain.bottlenecks.store import BottleneckStore, open_store
from retrain.config import DistortionOptions
from retrain.data.distortions import UNDISTORTED
from retrain.errors import UserError
from retrain.shards import shard_files
from retrain.shards.schema import FormatError, ShardDescription
from retrain.shards.storage import Storage
from retrain.system.progress import ProgressBar


def read_folder_description(storage: Storage, names: Sequence[str]) -> ShardDescription:
    """Returns what the bottlenecks of a folder were computed with, from its first shard.

    Args:
        storage: Folder with shards.
        names: Result of `find_shards`, not empty.

    Raises:
        UserError: If the folder cannot be read, or if the shard is damaged.
    """
    try:
        return shard_files.read_description(storage, names[0])
    except FormatError as error:
        raise shard_files.refuse_damaged(storage, names[0], error) from error


def check_backbone(storage: Storage, description: ShardDescription, backbone: Backbone) -> None:
    """Checks that shards have the features of a backbone.

    Raises:
        UserError: If they have the features of another backbone, or of other weights, options or
            versions of it.
    """
    recipe = Recipes.build(
        engines.create(description.engine, backbone).recipe, DistortionOptions()
    )
    wanted = ShardDescription(recipe.undistorted, backbone.name, backbone.feature_width)
    if wanted != description:
        raise other_bottlenecks(storage, description, wanted)


def other_bottlenecks(
    storage: Storage, found: ShardDescription, wanted: ShardDescription
) -> UserError:
    """Returns the error for a folder with bottlenecks that a run cannot use."""
    if found.architecture != wanted.architecture:
        difference = f"{found.architecture}, not of {wanted.architecture}"
    elif found.engine != wanted.engine:
        difference = f"engine {found.engine}, not of engine {wanted.engine}"
    elif found.feature_width != wanted.feature_width:
        difference = f"{found.feature_width} features, not of {wanted.feature_width}"
    else:
        difference = f"other weights or of another preprocessing version of {wanted.architecture}"
    return UserError(
        f"--{storage.flag}={storage.url} has bottlenecks of {difference}; choose another "
        f"--{storage.flag}, or the flags that these bottlenecks were computed with"
    )


def merge_shards(
    storage: Storage, description: ShardDescription, paths: Mapping[str, list[Path]], cache_dir: Path
) -> int:
    """Copies bottlenecks that are missing in the cache, and what is known about the image files.

    A file that has the size and the time of a row counts as the file that this row is of, so that
    it need not be read. A file with other times is recognized by its content.

    Args:
        storage: Folder with shards.
        description: What the bottlenecks were computed with.
        paths: Files that have a name in the shards.
        cache_dir: Folder of the cache.

    Returns:
        The number of bottlenecks that were copied.

    Raises:
        UserError: If a shard is damaged, the storage cannot be read, or the cache cannot be used.
    """
    names = shard_files.find_shards(storage)
    copied = 0
    with (
        open_store(cache_dir) as store,
        ProgressBar(None, "Bottlenecks in shards") as progress,
    ):
        stored = store.stored_variants(description.recipe, description.feature_width)
        for name in names:
            try:
                copied += _merge_shard(storage, name, description, store, stored)
                rows = shard_files.read_columns(storage, name, ("name", "size", "modified", "key"))
            except FormatError as error:
                raise shard_files.refuse_damaged(storage, name, error) from error
            _store_known_files(store, rows, paths)
            progress.add(len(rows))
    return copied


def _merge_shard(
    storage: Storage,
    name: str,
    description: ShardDescription,
    store: BottleneckStore,
    stored: dict[bytes, int],
) -> int:
    """Copies the vectors of a shard that are missing in the cache; returns their number."""
    keys = shard_files.read_columns(storage, name, ("key",))["key"].to_pylist()
    missing = [row for row, key in enumerate(keys) if not stored.get(key, 0) >> UNDISTORTED & 1]
    if not missing:
        return 0
    found = shard_files.read_description(storage, name)
    if found != description:
        raise other_bottlenecks(storage, found, description)
    vectors = shard_files.vectors_of(shard_files.read_columns(storage, name, ("vector",)))
    if not np.isfinite(vectors).all():
        raise FormatError("it has numbers that are not finite")
    store.put_vectors(
        description.recipe, [(keys[row], UNDISTORTED, vectors[row]) for row in missing]
    )
    stored.update({keys[row]: 1 << UNDISTORTED for row in missing})
    return len(missing)


def _store_known_files(store: BottleneckStore, rows: Any, paths: Mapping[str, list[Path]]) -> None:
    """Stores the SHA-256 of the local files that rows of a shard are of."""
    found = list(_matching_files(rows, paths))
    known = store.get_digests([version for version, _ in found])
    store.put_digests(
        [pair for pair, digest in zip(found, known, strict=True) if digest != pair[1]]
    )


def _matching_files(
    rows: Any, paths: Mapping[str, list[Path]]
) -> Iterator[tuple[FileVersion, bytes]]:
    for row in rows.to_pylist():
        for path in paths.get(row["name"], []):
            try:
                version = FileVersion.from_stat(path.stat())
            except OSError:
                continue
            if (version.size, str(version.mtime_ns)) == (row["size"], row["modified"]):
                yield version, row["key"]

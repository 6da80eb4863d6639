"""Copies the bottlenecks in shards to the local cache, from which a training reads them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retrain.backbones import engines
from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.recipes import Recipes
from retrain.bottlenecks.store import BottleneckStore, open_store
from retrain.bottlenecks.traits_cache import put_traits
from retrain.data.distortions import UNDISTORTED
from retrain.errors import UserError
from retrain.shards import shard_files
from retrain.shards.schema import FormatError, ShardDescription
from retrain.shards.storage import Storage
from retrain.system.progress import ProgressBar
from retrain.training_options import DistortionOptions


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


def describe(backbone: Backbone, engine: str) -> ShardDescription:
    """Returns the description of shards with the bottlenecks of a backbone and an engine."""
    recipe = Recipes.build(engines.create(engine, backbone).recipe, DistortionOptions())
    return ShardDescription(recipe.undistorted, backbone.name, backbone.feature_width)


def check_backbone(storage: Storage, found: ShardDescription, backbone: Backbone) -> None:
    """Checks that shards have the features of a backbone, and possibly more.

    Raises:
        UserError: If they have the features of another backbone, or of other weights, options or
            versions of it.
    """
    complete = describe(backbone.with_stages(), found.engine)
    if found not in (complete, describe(backbone, found.engine)):
        raise other_bottlenecks(storage, found, complete)


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
        difference = f"other weights, --fit or preprocessing of {wanted.architecture}"
    return UserError(
        f"--{storage.flag}={storage.url} has bottlenecks of {difference}; choose another "
        f"--{storage.flag}, or the flags that these bottlenecks were computed with"
    )


def merge_shards(
    storage: Storage,
    wanted: ShardDescription,
    *,
    found: ShardDescription,
    paths: Mapping[str, list[Path]],
    cache_dir: Path,
) -> int:
    """Copies bottlenecks that are missing in the cache, and what is known about the image files.

    A file that has the size and the time of a row counts as the file that this row is of, so that
    it need not be read. A file with other times is recognized by its content.

    Args:
        storage: Folder with shards.
        wanted: What the training needs. Its features are the first ones of those in the shards.
        found: Description of the shards.
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
        stored = store.stored_variants(wanted.recipe, wanted.feature_width)
        for name in names:
            try:
                missing = _missing_images(storage, name, found, stored)
                rows = shard_files.read_columns(storage, name, ("name", "size", "modified", "key"))
            except FormatError as error:
                raise shard_files.refuse_damaged(storage, name, error) from error
            width = wanted.feature_width
            store.put_vectors(
                wanted.recipe,
                [(image.key, UNDISTORTED, image.vector[:width]) for image in missing],
            )
            put_traits(
                store, [(image.key, image.traits) for image in missing if image.traits is not None]
            )
            copied += len(missing)
            _store_known_files(store, rows, paths)
            progress.add(len(rows))
    return copied


class _StoredImage(NamedTuple):
    """A row of a shard: SHA-256, bottleneck and, if this version reads them, the traits."""

    key: bytes
    vector: np.ndarray
    traits: np.ndarray | None


def _missing_images(
    storage: Storage, name: str, expected: ShardDescription, stored: dict[bytes, int]
) -> list[_StoredImage]:
    """Returns the images of a shard whose vector is not stored, and adds them to `stored`.

    Raises:
        UserError: If the shard has bottlenecks of another kind than others in its folder.
        FormatError: If it is damaged.
    """
    keys = shard_files.read_columns(storage, name, ("key",))["key"].to_pylist()
    bit = 1 << UNDISTORTED
    missing = {key: row for row, key in enumerate(keys) if not stored.get(key, 0) & bit}
    if not missing:
        return []
    found = shard_files.read_description(storage, name)
    if found != expected:
        raise other_bottlenecks(storage, found, expected)
    table = shard_files.read_columns(storage, name, ("vector", "traits"))
    vectors, traits = shard_files.vectors_of(table), shard_files.traits_of(table)
    if not np.isfinite(vectors).all():
        raise FormatError("it has numbers that are not finite")
    for key in missing:
        stored[key] = stored.get(key, 0) | bit
    return [
        _StoredImage(key, vectors[row], None if traits is None else traits[row])
        for key, row in missing.items()
    ]


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
            version = FileVersion.of(path)
            if version and (version.size, str(version.mtime_ns)) == (row["size"], row["modified"]):
                yield version, row["key"]

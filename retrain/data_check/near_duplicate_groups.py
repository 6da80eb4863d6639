"""Finds groups of images of the same moment: copies, near-duplicates and photos of a burst.

The groups depend on the images and their classes alone, so that they are the same for all networks.
They are kept in the cache until an image is added, changed, removed or moved to another class.
"""

import functools
import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from retrain.bottlenecks.compute import GroupImages
from retrain.bottlenecks.store import BottleneckStore
from retrain.bottlenecks.traits_cache import get_traits
from retrain.config import NEAR_DUPLICATES, TrainingConfig
from retrain.data.dataset import Dataset
from retrain.data.groups import group_images
from retrain.data_check import bursts, near_duplicates
from retrain.system.files.private_files import read_private
from retrain.system.outputs.atomic_files import write_file

# Increase with every change to what a group is.
_VERSION = 1
# The time to find near-duplicates grows with the square of the number of images: 100,000 take a
# minute. Only identical files and bursts are grouped in larger sets.
_MAX_IMAGES = 100_000
# Similarity is not transitive: among drawn digits, chains of similar ones connect half of a
# class. A group with a larger share of its class is divided by higher thresholds.
_MAX_SHARE = 0.1
_MIN_LIMIT = 10
_STRICTER = (0.99, 0.993, 0.996, 0.998, 0.999)


def near_duplicate_grouping(config: TrainingConfig, dataset: Dataset) -> GroupImages | None:
    """Returns the function that groups the data set, or None if there is nothing to group."""
    if config.split.group_by != NEAR_DUPLICATES or dataset.grouping:
        return None
    return functools.partial(group_near_duplicates, cache_dir=config.bottleneck_dir)


def group_near_duplicates(
    dataset: Dataset, digests: Mapping[Path, bytes], store: BottleneckStore, *, cache_dir: Path
) -> Dataset:
    """Returns the data set with each group of near-duplicates in one split.

    Args:
        dataset: Images that are not in groups.
        digests: SHA-256 of the files of the images. Images that are missing here stay alone.
        store: Cache.
        cache_dir: Folder of the cache.

    Raises:
        UserError: If the cache cannot be used.
    """
    rows_of_digest: dict[bytes, list[int]] = defaultdict(list)
    for row, image in enumerate(dataset.images):
        if image.path in digests:
            rows_of_digest[digests[image.path]].append(row)
    # Sorted, so that the order of the images does not matter.
    unique = sorted(rows_of_digest)
    path = _path(cache_dir, dataset)
    images = [dataset.images[rows_of_digest[digest][0]] for digest in unique]
    class_ids = np.array([image.class_id for image in images], np.int64)
    key = hashlib.sha256(b"".join(unique) + class_ids.tobytes()).hexdigest()
    groups = _read(path, key, len(unique))
    if groups is None:
        if len(unique) > _MAX_IMAGES:
            logging.warning(
                "There are more than %d images, so --group_by=near_duplicates finds only identical "
                "files and photos of a burst; if the names tell which images belong together, use "
                "--group_by=folder or --group_by=prefix.",
                _MAX_IMAGES,
            )
        paths = {digest: image.path for digest, image in zip(unique, images, strict=True)}
        groups = find_groups(get_traits(store, paths), class_ids)
        write_file(path, json.dumps({"version": _VERSION, "images": key, "groups": groups}) + "\n")
    in_larger_group = {number for group in groups for number in group}
    all_groups = [
        *([row for number in group for row in rows_of_digest[unique[number]]] for group in groups),
        *(
            rows_of_digest[digest]
            for number, digest in enumerate(unique)
            if number not in in_larger_group
        ),
    ]
    several = [sorted(group) for group in all_groups if len(group) > 1]
    return group_images(dataset, several, group_by=NEAR_DUPLICATES)


def find_groups(traits: np.ndarray, class_ids: np.ndarray) -> list[list[int]]:
    """Finds the groups among different files.

    Args:
        traits: TRAITS [N]. An image that could not be read has zeros, and no near-duplicates.
        class_ids: Class of each image, int [N].

    Returns:
        Indices of the images of each group that has several.
    """
    pairs, correlations = np.empty((0, 2), np.int64), np.empty(0, np.float32)
    if len(traits) <= _MAX_IMAGES:
        pairs, correlations = near_duplicates.find(traits["thumbnail"])
    close = _without_chains(pairs, correlations, class_ids)
    return _components(np.concatenate([close, bursts.find_pairs(traits, class_ids)]), len(traits))


def _without_chains(
    pairs: np.ndarray, correlations: np.ndarray, class_ids: np.ndarray
) -> np.ndarray:
    """Returns the pairs without those that connect too large a share of a class."""
    sizes = np.bincount(class_ids)
    for threshold in (*_STRICTER, np.inf):
        in_large = np.zeros(len(class_ids), bool)
        for group in _components(pairs, len(class_ids)):
            if len(group) > max(_MIN_LIMIT, _MAX_SHARE * sizes[class_ids[group]].max()):
                in_large[group] = True
        is_kept = ~in_large[pairs[:, 0]] | (correlations >= threshold)
        pairs, correlations = pairs[is_kept], correlations[is_kept]
    return pairs


def _components(pairs: np.ndarray, count: int) -> list[list[int]]:
    """Returns the connected components with several of `count` nodes."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = pairs.T
    links = coo_array((np.ones(len(pairs), np.int8), (first, second)), shape=(count, count))
    _, component_of = connected_components(links, directed=False)
    components: dict[int, list[int]] = defaultdict(list)
    for node in np.unique(pairs).tolist():
        components[component_of[node]].append(node)
    return list(components.values())


def _path(cache_dir: Path, dataset: Dataset) -> Path:
    folder = hashlib.sha256(str(dataset.image_dir).encode("utf-8", "surrogateescape"))
    return cache_dir / f"groups-{folder.hexdigest()[:16]}.json"


def _read(path: Path, key: str, count: int) -> list[list[int]] | None:
    """Returns the groups in the file; None if it is missing, damaged or about other images."""
    try:
        content = json.loads(read_private(path))
        if (content["version"], content["images"]) != (_VERSION, key):
            return None
        groups = [[int(number) for number in group] for group in content["groups"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return groups if _are_valid(groups, count) else None


def _are_valid(groups: Iterable[Sequence[int]], count: int) -> bool:
    numbers = [number for group in groups for number in group]
    return len(set(numbers)) == len(numbers) and all(0 <= number < count for number in numbers)

"""Caches the traits of images, and measures those of images that are not in the cache."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from retrain.bottlenecks.cached_records import get_records, put_records
from retrain.bottlenecks.store import BottleneckStore
from retrain.data import image_reader, image_traits, pixels
from retrain.data.image_traits import MAX_SIDE, TRAITS
from retrain.data.pixels import PREPROCESSING_VERSION, UnreadableImageError
from retrain.system.batches import batches
from retrain.system.processors import processor_count
from retrain.system.progress import ProgressBar
from retrain.system.threads import parallel_map

# Recipe of the records: everything that determines traits, besides the image.
RECIPE = json.dumps(
    {"image_traits": image_traits.VERSION, "preprocessing": PREPROCESSING_VERSION}, sort_keys=True
)
_IMAGES_PER_WRITE = 256


def put_traits(store: BottleneckStore, traits: Iterable[tuple[bytes, np.ndarray]]) -> None:
    """Stores the traits of images with these SHA-256."""
    put_records(store, RECIPE, traits)


def get_traits(store: BottleneckStore, paths: Mapping[bytes, Path]) -> np.ndarray:
    """Returns the traits of images. Reads and measures those that are not in the cache.

    Args:
        store: Cache.
        paths: A file with each SHA-256.

    Returns:
        TRAITS [N]; zeros for an image that can no longer be read.
    """
    digests = list(paths)
    records, present = get_records(store, RECIPE, digests, TRAITS)
    missing = np.flatnonzero(~present).tolist()
    measured = parallel_map(
        lambda row: (row, _measure(paths[digests[row]])), missing, processor_count()
    )
    with ProgressBar(len(missing), "Reading images") as progress:
        for batch in batches(measured, _IMAGES_PER_WRITE):
            progress.add(len(batch))
            readable = [(row, traits) for row, traits in batch if traits is not None]
            put_traits(store, [(digests[row], traits) for row, traits in readable])
            for row, traits in readable:
                records[row] = traits
    return records


def _measure(path: Path) -> np.ndarray | None:
    try:
        data = image_reader.read(path)
        return image_traits.measure(data, pixels.decode_upright(data, MAX_SIDE, MAX_SIDE))
    except (OSError, UnreadableImageError):
        return None

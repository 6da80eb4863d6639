"""Gets features of images in reduced quality, from the cache or the network."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain.backbones import engines
from retrain.backbones.backbone import Backbone
from retrain.backbones.engines import Engine
from retrain.bottlenecks.features import Bottlenecks
from retrain.bottlenecks.store import open_store
from retrain.data import image_reader, pixels, reduced_quality
from retrain.data.dataset import ImageFile
from retrain.system.batches import batches
from retrain.system.threads import parallel_map

# The only variant of each image that is in reduced quality.
_NUMBER = 1
# More copies hardly change the result.
_MAX_COPIES = 48


class ReducedCopies(NamedTuple):
    """Copies of some images in reduced quality.

    Attributes:
        rows: Index of the image that each copy was made of, int [M].
        features: Features of the copies, float16 or float32 [M, width].
    """

    rows: np.ndarray
    features: np.ndarray


def compute_reduced(
    features: Bottlenecks, images: Sequence[ImageFile], backbone: Backbone, cache_dir: Path
) -> ReducedCopies:
    """Computes the features of copies of some images in reduced quality; see `reduced_quality`.

    The images are the same ones in every run, except those that the changes of a data set affect.

    Args:
        features: Features of all images, by the engine to use.
        images: Images to choose from.
        backbone: Backbone that computes the features.
        cache_dir: Folder of the cache.

    Returns:
        The copies, with indices in `images`. Images that changed or vanished during the run are
        left out.

    Raises:
        UserError: If the cache cannot be used.
    """
    digests = [features.digests.get(image.path, b"") for image in images]
    known = [row for row, digest in enumerate(digests) if digest]
    rows = np.array(sorted(known, key=digests.__getitem__)[:_MAX_COPIES], np.int64)
    name = engines.for_evaluation(features.engine)
    with (
        engines.create(name, backbone, int8_network=features.int8_network) as engine,
        open_store(cache_dir) as store,
    ):
        recipe = json.dumps(
            {
                **engine.recipe,
                "preprocessing": pixels.PREPROCESSING_VERSION,
                "reduced_quality": reduced_quality.VERSION,
            },
            sort_keys=True,
        )
        vectors = np.empty((len(rows), backbone.feature_width), np.float16)
        keys = [(digests[row], _NUMBER) for row in rows]
        present = store.get_vectors(recipe, keys, vectors)
        missing = np.flatnonzero(~present)
        if len(missing):
            paths = [images[row].path for row in rows[missing]]
            computed = _compute(paths, [keys[i][0] for i in missing], backbone, engine)
            for index, vector in zip(missing, computed, strict=True):
                if vector is not None and np.isfinite(vector).all():
                    vectors[index], present[index] = vector, True
            stored = [(*keys[i], vectors[i]) for i in missing if present[i]]
            store.put_vectors(recipe, stored)
    return ReducedCopies(rows[present], vectors[present])


def _compute(
    paths: Sequence[Path], digests: Sequence[bytes], backbone: Backbone, engine: Engine
) -> list[np.ndarray | None]:
    """Returns the features of the copy of each image; None for one that changed in the run."""
    network = engine.load()

    def decode(number: int) -> np.ndarray | None:
        try:
            data = image_reader.read(paths[number])
            if hashlib.sha256(data).digest() != digests[number]:
                return None
            return reduced_quality.decode(
                data,
                digest=digests[number],
                height=backbone.height,
                width=backbone.width,
                fit=backbone.fit,
            )
        except (OSError, pixels.UnreadableImageError):
            return None

    def run(numbers: list[int]) -> list[np.ndarray | None]:
        decoded = [decode(number) for number in numbers]
        readable = [image for image in decoded if image is not None]
        if not readable:
            return [None] * len(numbers)
        with np.errstate(over="ignore"):
            vectors = iter(network.run(np.stack(readable)).astype(np.float16))
        return [None if image is None else next(vectors) for image in decoded]

    results = parallel_map(run, batches(range(len(paths)), network.batch_size), network.workers)
    return [vector for result in results for vector in result]

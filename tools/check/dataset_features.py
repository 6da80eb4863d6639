"""Gets the features of all images of a data set that can be read."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain.backbones import engines
from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.missing_vectors import compute_missing
from retrain.bottlenecks.store import open_store
from retrain.bottlenecks.vector_table import VectorTable
from retrain.data.dataset import ImageFile
from retrain.data.splits import TRAINING
from retrain.training_options import NO_DISTORTIONS


class DatasetFeatures(NamedTuple):
    """Features of some images.

    Attributes:
        rows: Index of the image of each row, in increasing order.
        vectors: float16 [rows, feature_width].
    """

    rows: list[int]
    vectors: np.ndarray


def load_features(
    images: Sequence[ImageFile],
    readable: Sequence[int],
    backbone: Backbone,
    *,
    engine: str,
    cache_dir: Path,
    compute: bool,
) -> DatasetFeatures:
    """Returns the features that //retrain uses, from the cache or the network.

    Args:
        images: All images.
        readable: Indices of the images that can be read.
        backbone: Network that computes the features.
        engine: Name of the engine for training images. For engines.INT8, the features of AUTO are
            used, which such a run computes as well.
        cache_dir: Folder of the cache.
        compute: Whether to compute features that are not in the cache.

    Raises:
        UserError: If the engine or the cache cannot be used.
    """
    training = engines.resolve(engines.AUTO if engine == engines.INT8 else engine)
    vectors = np.zeros((len(images), backbone.feature_width), np.float16)
    present = np.zeros(len(images), bool)
    for name, is_training in ((engines.for_evaluation(training), False), (training, True)):
        rows = [row for row in readable if (images[row].split == TRAINING) == is_training]
        if not rows:
            continue
        with open_store(cache_dir) as store, engines.create(name, backbone) as created:
            table = VectorTable(
                [images[row] for row in rows],
                created,
                NO_DISTORTIONS,
                feature_width=backbone.feature_width,
                folder=cache_dir,
            )
            table.read_known_files(store)
            if compute:
                compute_missing([table], backbone, store, strict=False)
        missing = set(table.incomplete_rows())
        found = [number for number in range(len(rows)) if number not in missing]
        indices = np.array(rows, np.int64)[found]
        vectors[indices] = table.vectors[found, 0]
        present[indices] = True
    found_rows = np.flatnonzero(present)
    return DatasetFeatures(found_rows.tolist(), vectors[found_rows])

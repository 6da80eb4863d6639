"""Warns of equal images that contradict each other or make accuracies meaningless."""

import logging
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from retrain.data.dataset import ImageFile
from retrain.system.text import name_some

_MAX_GROUPS_NAMED = 3
_MIN_EQUAL = 3
# Engines compute slightly different bottlenecks of equal pixels in batches of different sizes.
_TOLERANCE = 0.01


def warn_of_duplicates(images_and_digests: Iterable[tuple[ImageFile, bytes]]) -> None:
    """Warns if files with the same SHA-256 are in different classes or splits."""
    images_by_digest: dict[bytes, list[ImageFile]] = defaultdict(list)
    for image, digest in images_and_digests:
        images_by_digest[digest].append(image)
    groups = [images for images in images_by_digest.values() if len(images) > 1]
    _warn(
        "The same image is in two classes: %s. One of them is wrong.",
        [images for images in groups if len({image.class_id for image in images}) > 1],
    )
    _warn(
        "The same image is in two splits, so the measured accuracy is too high: %s.",
        [images for images in groups if len({image.split for image in images}) > 1],
    )


def warn_of_equal_vectors(split_vectors: Iterable[np.ndarray]) -> None:
    """Warns if the bottlenecks of all images are equal, so that no classifier can learn from them.

    Args:
        split_vectors: Bottlenecks of the images in each split, float16 [N, feature_width]. Rows of
            unreadable images must have been removed.
    """
    arrays = [vectors for vectors in split_vectors if len(vectors)]
    count = sum(map(len, arrays))
    if count < _MIN_EQUAL:
        return
    first = arrays[0][0].astype(np.float32)
    tolerance = _TOLERANCE * np.abs(first).max(initial=0)
    # The second image of each split is enough to rule out most data sets.
    for rows in (slice(2), slice(None)):
        for vectors in arrays:
            if (np.abs(vectors[rows] - first) > tolerance).any():
                return
    logging.warning(
        "All %d images look the same to the network, so no classifier can tell them apart. Open "
        "some of them: they may be blank, fully transparent, or all copies of one image.",
        count,
    )


def _warn(message: str, groups: list[list[ImageFile]]) -> None:
    if groups:
        texts = (" = ".join(str(image.path) for image in images) for images in groups)
        logging.warning(message, name_some(texts, most=_MAX_GROUPS_NAMED, separator="; "))

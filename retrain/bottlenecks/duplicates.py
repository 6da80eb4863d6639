"""Warns of equal images that contradict each other or make accuracies meaningless."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from retrain.data.dataset import ImageFile
from retrain.system.text import name_some

_MAX_GROUPS_NAMED = 3
_MAX_IMAGES_NAMED = 5
_MIN_EQUAL = 3
# Engines compute slightly different bottlenecks of equal pixels in batches of different sizes.
_TOLERANCE = 0.01


class DigestedImage(NamedTuple):
    """An image of a data set.

    Attributes:
        name: Path or other name of the image.
        class_id: Index of its class.
        split: TRAINING, VALIDATION or TEST.
        digest: SHA-256 of its content.
    """

    name: str
    class_id: int
    split: str
    digest: bytes


def warn_of_duplicates(images_and_digests: Iterable[tuple[ImageFile, bytes]]) -> None:
    """Warns if files with the same SHA-256 are in different classes or splits."""
    warn_of_equal_images(
        DigestedImage(str(image.path), image.class_id, image.split, digest)
        for image, digest in images_and_digests
    )


def warn_of_equal_images(images: Iterable[DigestedImage]) -> None:
    """Warns if images with the same digest are in different classes or splits."""
    images_by_digest: dict[bytes, list[DigestedImage]] = defaultdict(list)
    for image in images:
        images_by_digest[image.digest].append(image)
    groups = [group for group in images_by_digest.values() if len(group) > 1]
    _warn(
        "The same image is in two classes: %s. One of them is wrong.",
        [group for group in groups if len({image.class_id for image in group}) > 1],
    )
    _warn(
        "The same image is in two splits, so the measured accuracy is too high: %s.",
        [group for group in groups if len({image.split for image in group}) > 1],
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


def _warn(message: str, groups: list[list[DigestedImage]]) -> None:
    if groups:
        texts = (
            name_some((image.name for image in images), most=_MAX_IMAGES_NAMED, separator=" = ")
            for images in groups
        )
        logging.warning(message, name_some(texts, most=_MAX_GROUPS_NAMED, separator="; "))

"""Warns of identical image files that contradict each other or make accuracies too optimistic."""

import logging
from collections import defaultdict
from collections.abc import Iterable

from retrain.data.dataset import ImageFile
from retrain.system.text import name_some

_MAX_GROUPS_NAMED = 3


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


def _warn(message: str, groups: list[list[ImageFile]]) -> None:
    if groups:
        texts = (" = ".join(str(image.path) for image in images) for images in groups)
        logging.warning(message, name_some(texts, most=_MAX_GROUPS_NAMED, separator="; "))

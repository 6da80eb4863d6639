"""Finds problems of classes: names, sizes and imbalance."""

from collections import Counter
from collections.abc import Iterator

from retrain.data.dataset import Dataset
from retrain.data.folder_checks import FEW_IMAGES, MIN_IMAGES
from retrain.data.labels import find_collisions
from retrain.data_check.findings import Finding

_IMBALANCE_RATIO = 10


def find_in_classes(dataset: Dataset) -> Iterator[Finding]:
    """Yields what is wrong with the classes."""
    for names in find_collisions(dataset.folders):
        yield Finding("label_collision", classes=tuple(names), detail=f"{len(names)} folders")
    counts = Counter(dict.fromkeys(dataset.folders, 0))
    counts.update(dataset.folders[image.class_id] for image in dataset.images)
    for name, count in sorted(counts.items(), key=lambda item: (item[1], item[0])):
        if count < FEW_IMAGES:
            need = f"; training needs at least {MIN_IMAGES}" if count < MIN_IMAGES else ""
            images = "1 image" if count == 1 else f"{count} images"
            yield Finding("small_class", classes=(name,), detail=f"{images}{need}", score=count)
    if len(counts) < 2:
        detail = "the only class; training needs at least two"
        yield Finding("small_class", classes=dataset.folders, detail=detail)
        return
    (largest, most), (smallest, fewest) = counts.most_common()[0], counts.most_common()[-1]
    if most > _IMBALANCE_RATIO * fewest:
        detail = f"{largest} has {most:,} images, {smallest} has {fewest:,}"
        score = round(most / max(fewest, 1), 1)
        yield Finding("imbalance", classes=(largest, smallest), detail=detail, score=score)

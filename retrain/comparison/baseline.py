"""Compares a new classifier with an earlier one on images that are held out now."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain.comparison.baseline_classifier import BaselineClassifier
from retrain.comparison.mcnemar import PairedCounts, count_pairs
from retrain.config import NEAR_DUPLICATES, UNGROUPED, SplitOptions
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, SplitPercentages
from retrain.training.results import HeadResult


@dataclasses.dataclass(frozen=True)
class DifferingImage:
    """An image that one of two classifiers gets right.

    Attributes:
        path: Path of the image.
        label: Its label.
        new: Label by the new classifier.
        old: Label by the old classifier.
    """

    path: Path
    label: str
    new: str
    old: str


@dataclasses.dataclass(frozen=True)
class BaselineComparison:
    """A new classifier compared with the one of --baseline_graph.

    Attributes:
        graph: File of the old classifier.
        common_labels: Labels that both have.
        counts: Comparison on all held-out images of these classes.
        seen_count: Number of these images that are in the training or validation split of the old
            classifier if it was trained on files of these names; None if its file does not say how
            its images were split.
        unseen_counts: Comparison on the other images; None if `seen_count` is None.
        gained: Images that only the new classifier gets right.
        lost: Images that only the old classifier gets right.
    """

    graph: Path
    common_labels: tuple[str, ...]
    counts: PairedCounts
    seen_count: int | None
    unseen_counts: PairedCounts | None
    gained: tuple[DifferingImage, ...]
    lost: tuple[DifferingImage, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns the comparison as values for `json.dumps`."""

        def images(differing: Sequence[DifferingImage]) -> list[dict[str, str]]:
            return [{**dataclasses.asdict(one), "path": str(one.path)} for one in differing]

        return {
            "graph": str(self.graph),
            "common_labels": list(self.common_labels),
            **dataclasses.asdict(self.counts),
            "seen_by_old": self.seen_count,
            "without_seen": self.unseen_counts and dataclasses.asdict(self.unseen_counts),
            "gained": images(self.gained),
            "lost": images(self.lost),
        }


def compare_with_baseline(
    baseline: BaselineClassifier | None, result: HeadResult, options: SplitOptions
) -> BaselineComparison | None:
    """Compares the answers of both classifiers for the test images of the classes that both have.

    Args:
        baseline: The old classifier; None for no comparison.
        result: The new head, and the test images.
        options: How the images were split for the new head.

    Raises:
        UserError: If the old classifier cannot label the images.
    """
    if baseline is None:
        return None
    dataset, test = result.features.dataset, result.test_features
    known = set(baseline.labels)
    is_common = np.array([dataset.labels[class_id] in known for class_id in test.class_ids], bool)
    rows = np.flatnonzero(is_common)
    answers = baseline.predict([test.images[row].path for row in rows])
    # An image that can no longer be read is left out.
    rows = rows[[answer is not None for answer in answers]]
    old = [answer for answer in answers if answer is not None]
    images = [test.images[row] for row in rows]
    predicted = result.head.logits(test.vectors[rows]).argmax(axis=1)
    labels = [dataset.labels[image.class_id] for image in images]
    new = [dataset.labels[class_id] for class_id in predicted]
    new_right = np.array([a == b for a, b in zip(new, labels, strict=True)], bool)
    old_right = np.array([a == b for a, b in zip(old, labels, strict=True)], bool)
    differing = [
        DifferingImage(image.path, *texts)
        for image, *texts in zip(images, labels, new, old, strict=True)
    ]
    seen = _find_seen(images, dataset, options, baseline.runtime.description.split)
    return BaselineComparison(
        graph=baseline.path,
        common_labels=tuple(label for label in dataset.labels if label in known),
        counts=count_pairs(new_right, old_right),
        seen_count=None if seen is None else int(seen.sum()),
        unseen_counts=None if seen is None else count_pairs(new_right[~seen], old_right[~seen]),
        gained=tuple(differing[row] for row in np.flatnonzero(new_right & ~old_right)),
        lost=tuple(differing[row] for row in np.flatnonzero(old_right & ~new_right)),
    )


def _find_seen(
    images: Sequence[ImageFile],
    dataset: Dataset,
    options: SplitOptions,
    old_split: Mapping[str, Any],
) -> np.ndarray | None:
    """Returns which images the old classifier had for training or validation, bool [N].

    The hash of its name decides the split of an image, in the old training as in the new one.
    Returns None if the old file does not state the percentages and the kind of the hash.
    """
    percentages = old_split.get("percentages")
    group_by = old_split.get("group_by", UNGROUPED)
    if old_split.get("by") != "name" or not isinstance(percentages, Mapping):
        return None
    try:
        sizes = SplitPercentages(float(percentages["validation"]), float(percentages["test"]))
    except (KeyError, TypeError, ValueError):
        return None
    old_options = SplitOptions(group_by=str(group_by))
    seen = []
    for image in images:
        percentage_hash = image.percentage_hash
        if percentage_hash is None:
            # In --test_dir: nothing is known about where the old training had it.
            seen.append(False)
            continue
        # Near-duplicates are in the same groups in both trainings. Other groups depend on names.
        if not group_by == options.group_by == NEAR_DUPLICATES:
            percentage_hash = dataset.hash_name(image, old_options)
        seen.append(sizes.split_at(percentage_hash) != TEST)
    return np.array(seen, bool)

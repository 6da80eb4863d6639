"""Puts images into groups that are never divided between splits or folds."""

import dataclasses
import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from retrain.config import FOLDER, PREFIX, UNGROUPED, SplitOptions
from retrain.data.dataset import Dataset, ImageFile, assign_splits
from retrain.data.group_summary import GroupSummary
from retrain.system.text import name_some


def number_groups(images: Sequence[ImageFile]) -> np.ndarray:
    """Returns the number of each image's group, int64 [N], from 0.

    Images with the same percentage hash are a group: their names say that they show the same
    object, or --group_by put them together. Images without a hash are groups of their own.
    """
    numbers: dict[float, int] = {}
    return np.array(
        [
            numbers.setdefault(
                # A hash is not negative.
                -1.0 - row if image.percentage_hash is None else image.percentage_hash,
                len(numbers),
            )
            for row, image in enumerate(images)
        ],
        np.int64,
    )


def group_images(dataset: Dataset, groups: Sequence[Sequence[int]], *, group_by: str) -> Dataset:
    """Returns the data set with each group in one split.

    All images of a group get the percentage hash of one of them, so that the share of the images in
    each split stays the same on average. If an image is added to a group of N, the group moves with
    a probability of less than 1 / (N + 1). If it joins two groups, at least one of them stays.

    Args:
        dataset: Images that are not in groups.
        groups: Indices of the images in each group. No image is in two groups. Images in
            --validation_dir and --test_dir stay where they are.
        group_by: Value of --group_by.
    """
    images = list(dataset.images)
    fixed_count = 0
    for group in groups:
        hashes = {row: images[row].percentage_hash for row in group}
        movable = {row: value for row, value in hashes.items() if value is not None}
        if movable:
            # The smallest of the hashes themselves would be in the first splits more often.
            common = min(movable.values(), key=_rank)
            for row in movable:
                images[row] = dataclasses.replace(images[row], percentage_hash=common)
        fixed_splits = {images[row].split for row in group if row not in movable}
        fixed_count += len(fixed_splits) + bool(movable) > 1
    grouped = assign_splits(dataclasses.replace(dataset, images=tuple(images)))
    return _summarise(dataset, grouped, groups, group_by=group_by, fixed_count=fixed_count)


def summarise_name_groups(dataset: Dataset, options: SplitOptions) -> Dataset:
    """Returns a data set with a summary of its groups, if names or folders determine them.

    Warns of classes that are a single group.
    """
    if options.group_by not in (FOLDER, PREFIX):
        return dataset
    _warn_of_single_groups(dataset, options.group_by)
    rows_of_group: dict[int, list[int]] = defaultdict(list)
    for row, number in enumerate(number_groups(dataset.images).tolist()):
        rows_of_group[number].append(row)
    groups = [rows for rows in rows_of_group.values() if len(rows) > 1]

    ungrouped = dataclasses.replace(options, group_by=UNGROUPED)
    images = tuple(
        image
        if image.percentage_hash is None
        else dataclasses.replace(image, percentage_hash=dataset.hash_name(image, ungrouped))
        for image in dataset.images
    )
    before = assign_splits(dataclasses.replace(dataset, images=images))
    return _summarise(before, dataset, groups, group_by=options.group_by)


def _warn_of_single_groups(dataset: Dataset, group_by: str) -> None:
    groups_of_class: dict[int, set[float | None]] = defaultdict(set)
    for image in dataset.images:
        groups_of_class[image.class_id].add(image.percentage_hash)
    single = [dataset.folders[key] for key, hashes in groups_of_class.items() if len(hashes) == 1]
    if single:
        logging.warning(
            "--group_by=%s puts all images into one group in: %s. They cannot be tested on images "
            "that differ from those for training; use another value of --group_by.",
            group_by,
            name_some(single),
        )


def _summarise(
    before: Dataset,
    after: Dataset,
    groups: Sequence[Sequence[int]],
    *,
    group_by: str,
    fixed_count: int = 0,
) -> Dataset:
    """Returns the data set `after` with a summary of its groups and the difference to `before`."""
    divided = []
    divided_count = 0
    for rows in groups:
        movable = [row for row in rows if after.images[row].percentage_hash is not None]
        if len({before.images[row].split for row in movable}) > 1:
            paths = (after.images[row].path.relative_to(after.image_dir) for row in movable)
            divided.append(tuple(map(str, paths)))
        divided_count += len({after.images[row].split for row in movable}) > 1
    summary = GroupSummary(
        group_by,
        group_count=len(groups),
        image_count=sum(map(len, groups)),
        divided=tuple(divided),
        fixed_count=fixed_count,
        divided_count=divided_count,
    )
    return dataclasses.replace(after, grouping=summary)


def _rank(percentage_hash: float) -> bytes:
    return hashlib.sha256(repr(percentage_hash).encode()).digest()

"""Finds the same image several times: the same file, or nearly the same pixels."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from retrain.data.dataset import ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.data_check.findings import Finding
from retrain.data_check.near_duplicates import NearDuplicates

# The order in which images of a group are kept: a test image is worth most if it is unique.
_KEEP_FIRST = {TEST: 0, VALIDATION: 1, TRAINING: 2}


def group_by_digest(
    readable: Sequence[int], digests: Sequence[bytes | None]
) -> dict[bytes, list[int]]:
    """Returns the indices of the images with each SHA-256."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for index in readable:
        digest = digests[index]
        if digest is not None:
            groups[digest].append(index)
    return groups


def find_duplicates(
    groups: Iterable[Sequence[int]], images: Sequence[ImageFile]
) -> Iterator[Finding]:
    """Yields the groups of identical files."""
    for group in groups:
        if len(group) > 1:
            yield _finding("duplicate", group, images)


def find_near_duplicates(
    duplicates: NearDuplicates, first_of_row: Sequence[int], images: Sequence[ImageFile]
) -> Iterator[Finding]:
    """Yields groups of nearly identical images.

    Args:
        duplicates: Pairs of rows.
        first_of_row: Index of the image of each row, which stands for all identical files.
        images: All images.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = duplicates.pairs.T
    size = len(first_of_row)
    links = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(size, size))
    _, group_of_row = connected_components(links, directed=False)
    lowest = np.ones(size)
    np.minimum.at(lowest, group_of_row[first], duplicates.correlations)
    rows_of_group: dict[int, list[int]] = defaultdict(list)
    for row in np.unique(duplicates.pairs).tolist():
        rows_of_group[group_of_row[row]].append(row)
    for group, rows in rows_of_group.items():
        indices = [first_of_row[row] for row in rows]
        yield _finding("near_duplicate", indices, images, round(float(lowest[group]), 4))


def _finding(
    kind: str, group: Sequence[int], images: Sequence[ImageFile], score: float | None = None
) -> Finding:
    ordered = sorted(group, key=lambda index: (_KEEP_FIRST[images[index].split], index))
    if len({images[index].class_id for index in group}) > 1:
        kind += "_across_classes"
    elif len({images[index].split for index in group}) > 1:
        kind += "_across_splits"
    detail = "identical files" if score is None else f"correlation {score:.3f}"
    return Finding(kind, tuple(ordered), detail, score)

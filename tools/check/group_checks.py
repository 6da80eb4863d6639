"""Finds the same image several times: the same file, or nearly the same pixels."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from retrain.data.dataset import ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.data_check.near_duplicates import NearDuplicates
from tools.check.findings import Finding

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
    groups = _Groups()
    lowest: dict[int, float] = {}
    for (first, second), correlation in zip(
        duplicates.pairs.tolist(), duplicates.correlations.tolist(), strict=True
    ):
        groups.join(first, second)
        lowest[first] = min(correlation, lowest.get(first, 1.0))
    for rows in groups.lists():
        correlation = min(lowest.get(row, 1.0) for row in rows)
        indices = [first_of_row[row] for row in rows]
        yield _finding("near_duplicate", indices, images, round(min(correlation, 1.0), 4))


class _Groups:
    """Groups of numbers that are joined by pairs (a disjoint-set forest)."""

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}

    def join(self, first: int, second: int) -> None:
        self._parents[self._root(first)] = self._root(second)

    def lists(self) -> list[list[int]]:
        members: dict[int, list[int]] = defaultdict(list)
        for number in sorted(self._parents):
            members[self._root(number)].append(number)
        return sorted(members.values())

    def _root(self, number: int) -> int:
        parent = self._parents.setdefault(number, number)
        while parent != self._parents[parent]:
            parent = self._parents[number] = self._parents[parent]
            number, parent = parent, self._parents[parent]
        return parent


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

"""Many things, some at a time."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")


def batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Yields lists of `size` items, the last one of what is left."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch

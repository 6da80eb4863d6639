"""Groups items into batches."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")


def batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Yields lists of `size` consecutive items. The last list can be shorter.

    Items are taken one batch at a time, so `items` can be a stream of any length.
    """
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch

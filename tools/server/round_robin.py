"""Lets clients take turns."""

import collections
from collections.abc import Container
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class RoundRobin(Generic[_Item]):
    """Items of clients, in an order in which no client waits for all items of another.

    Not thread-safe.
    """

    def __init__(self) -> None:
        # The client whose turn is next is first.
        self._items: dict[str, collections.deque[_Item]] = {}

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, client: str, item: _Item) -> None:
        """Adds the last item of a client."""
        self._items.setdefault(client, collections.deque()).append(item)

    def remove(self, client: str, item: _Item) -> None:
        """Removes an item before its turn. Does nothing if it is not there."""
        items = self._items.get(client, collections.deque())
        if item in items:
            items.remove(item)
        if not items:
            self._items.pop(client, None)

    def pop(self, *, skip: Container[str] = ()) -> tuple[str, _Item] | None:
        """Removes the item whose turn it is, and returns its client and itself.

        Args:
            skip: Clients whose turn it cannot be.
        """
        client = next((client for client in self._items if client not in skip), None)
        if client is None:
            return None
        items = self._items.pop(client)
        item = items.popleft()
        if items:  # After the other clients.
            self._items[client] = items
        return client, item

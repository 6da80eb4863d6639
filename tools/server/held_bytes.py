"""Limits the memory for the bodies of requests and for responses.

Only bytes that have arrived count, not those that a client announces. One client can hold half of
all bytes. If there are too many, connections that wait for their client are closed, so that clients
that stop in the middle do not keep others out.
"""

import collections

from tools.server.connections import Connection, Connections


class Holding:
    """The bytes of one request and its response in memory.

    Attributes:
        connection: Connection of the request.
        key: Key of the client.
        count: Number of bytes.
    """

    def __init__(self, connection: Connection, key: str) -> None:
        self.connection = connection
        self.key = key
        self.count = 0


class HeldBytes:
    """The bytes of all requests. Not thread-safe."""

    def __init__(self, connections: Connections, maximum: int) -> None:
        """Creates an empty collection.

        Args:
            connections: Open connections.
            maximum: Maximum number of bytes. One client can hold half of it.
        """
        self._connections = connections
        self._maximum = maximum
        self._holdings: set[Holding] = set()
        self._counts: collections.Counter[str] = collections.Counter()

    @property
    def total(self) -> int:
        """Number of bytes of all requests."""
        return self._counts.total()

    def add(self, holding: Holding, count: int) -> bool:
        """Adds bytes to a holding.

        Returns:
            Whether there is room for them. If not, the request must be refused.
        """
        self._holdings.add(holding)
        holding.count += count
        self._counts[holding.key] += count
        while self._counts[holding.key] > self._maximum // 2:
            if not self._close_one(holding.key, holding):
                return False
        while self.total > self._maximum:
            if not self._close_one(self._counts.most_common(1)[0][0], holding):
                return False
        return True

    def release(self, holding: Holding) -> None:
        """Removes a holding."""
        if holding in self._holdings:
            self._holdings.remove(holding)
            self._counts[holding.key] -= holding.count
            self._counts += collections.Counter()  # Drops clients without bytes.
            holding.count = 0

    def _close_one(self, key: str, kept: Holding) -> bool:
        """Closes a connection of the client whose bytes are not in use, except that of `kept`."""
        holdings = {
            other.connection: other
            for other in self._holdings
            if other.key == key and other is not kept
        }
        closed = self._connections.close_oldest(holdings)
        if closed:
            self.release(holdings[closed])
        return closed is not None

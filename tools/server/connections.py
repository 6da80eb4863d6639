"""Limits the number of open connections, and the time for which clients send or read nothing.

The limits do not make the server refuse new clients while others only keep connections open.
Instead, it closes the connection that has waited longest for the client that has most of them.
"""

import asyncio
import collections
import enum
import time
from collections.abc import Iterable

# Bytes per second at which clients must send and read, apart from one pause.
_MIN_RATE = 50_000
# Seconds during which the server reads and drops what a refused client still sends. Closing a
# connection with unread data would reset it, and the client might never see the response.
_LINGER_SECONDS = 2.0


class State(enum.Enum):
    """What a connection waits for."""

    HEAD = "the head of a request"
    BODY = "the body of a request"
    ANSWER = "the application"
    READER = "the client to read a response"
    REFUSED = "the client to read why its request is refused"


class Connection:
    """An open connection.

    Attributes:
        transport: The connection itself.
        peer: Address of the other side.
        key: Key of the client, None for a trusted proxy, which has many clients.
        state: What the connection waits for.
        since: Time of `time.monotonic` since when it waits.
        moved_bytes: Number of bytes of the body or response that have been transferred since then.
    """

    def __init__(self, transport: asyncio.WriteTransport, peer: str, key: str | None) -> None:
        self.transport = transport
        self.peer = peer
        self.key = key
        self.wait_for(State.HEAD)

    def wait_for(self, state: State) -> None:
        """Changes the state."""
        self.state = state
        self.since = time.monotonic()
        self.moved_bytes = 0

    def is_slow(self, seconds: float) -> bool:
        """Returns whether the client takes too long, which means a pause of so many seconds."""
        waited = time.monotonic() - self.since
        if self.state is State.ANSWER:
            return False
        if self.state is State.REFUSED:
            return waited > _LINGER_SECONDS
        return waited > seconds + self.moved_bytes / _MIN_RATE


class Connections:
    """The open connections of a server. Not thread-safe.

    Attributes:
        closed_early: How many connections the server has closed before the client, by reason.
    """

    def __init__(self, *, maximum: int, per_client: int, seconds: float) -> None:
        """Creates an empty collection.

        Args:
            maximum: Maximum number of open connections.
            per_client: Maximum number of open connections of one client.
            seconds: Time for which a client can send or read nothing.
        """
        self.closed_early: collections.Counter[str] = collections.Counter()
        self._maximum, self._per_client, self._seconds = maximum, per_client, seconds
        self._open: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """Adds a new connection, and closes others if there are too many."""
        counts = collections.Counter(other.key for other in self._open)
        crowded: str | None
        if connection.key and counts[connection.key] >= self._per_client:
            crowded = connection.key
        elif len(self._open) >= self._maximum:
            crowded = counts.most_common(1)[0][0]
        else:
            self._open.add(connection)
            return
        closed = self.close_oldest(other for other in self._open if other.key == crowded)
        self._open.add(connection)
        if not closed:
            self.close(connection, "crowded")

    def remove(self, connection: Connection) -> None:
        """Removes a connection that is closed."""
        self._open.discard(connection)

    def close(self, connection: Connection, reason: str) -> None:
        """Closes a connection before its client does."""
        if connection in self._open:
            self.closed_early[reason] += 1
            self._open.remove(connection)
            connection.transport.abort()

    def close_oldest(self, candidates: Iterable[Connection]) -> Connection | None:
        """Closes the connection that has waited longest for its client, if one waits for it."""
        waiting = [other for other in candidates if other.state is not State.ANSWER]
        oldest = min(waiting, key=lambda other: other.since, default=None)
        if oldest:
            self.close(oldest, "crowded")
        return oldest

    def close_slow(self) -> None:
        """Closes the connections whose clients take too long."""
        for connection in [other for other in self._open if other.is_slow(self._seconds)]:
            self.close(connection, "slow")

    def close_all(self, *states: State) -> None:
        """Closes the connections in these states."""
        for connection in [other for other in self._open if other.state in states]:
            self.close(connection, "shutdown")

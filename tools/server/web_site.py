"""A web application, and what its clients take up."""

import dataclasses
from collections.abc import Callable
from typing import Any

from tools.server.clients import ClientAddresses
from tools.server.connections import Connections
from tools.server.fair_threads import FairThreads
from tools.server.held_bytes import HeldBytes
from tools.server.responses import Response

# Threads for requests without bodies, which take a millisecond.
_QUICK_THREADS = 4


@dataclasses.dataclass(frozen=True)
class ServerLimits:
    """Limits of what all clients of a server take up.

    Attributes:
        seconds: Time for which a client can send or read nothing.
        connections: Maximum number of open connections.
        connections_per_client: Maximum number of open connections of one client.
        body_bytes: Maximum size of a request body.
        held_bytes: Maximum number of bytes of request bodies and responses in memory.
    """

    seconds: float = 20
    connections: int = 1200
    connections_per_client: int = 600
    body_bytes: int = 20_000_000
    held_bytes: int = 160_000_000


class Site:
    """A web application with its clients.

    Attributes:
        app: WSGI application.
        limits: Limits of what clients take up.
        clients: Finds the client that a request comes from.
        connections: Open connections.
        held: Request bodies and responses in memory.
        stopping: Whether each connection is closed after its current request.
    """

    def __init__(
        self, app: Any, *, threads: int, limits: ServerLimits, clients: ClientAddresses
    ) -> None:
        """Creates a site without connections.

        Args:
            app: WSGI application.
            threads: Maximum number of POST requests that the application handles at the same time.
            limits: Limits of what clients take up.
            clients: Finds the client that a request comes from.
        """
        self.app, self.limits, self.clients = app, limits, clients
        self.connections = Connections(
            maximum=limits.connections,
            per_client=limits.connections_per_client,
            seconds=limits.seconds,
        )
        self.held = HeldBytes(self.connections, limits.held_bytes)
        self.stopping = False
        self._threads = FairThreads(threads)
        self._quick_threads = FairThreads(_QUICK_THREADS)

    async def respond(
        self, client: str, method: bytes, function: Callable[[], Response]
    ) -> Response:
        """Returns the result of a function that calls the application.

        Args:
            client: Key of the client.
            method: HTTP method of the request.
            function: Function to call in a thread.
        """
        threads = self._threads if method == b"POST" else self._quick_threads
        return await threads.run(client, function)

    def shut_down(self) -> None:
        """Lets the threads end after the requests that they are answering."""
        self._threads.shut_down()
        self._quick_threads.shut_down()

"""Accepts the connections of a site."""

import asyncio
import socket

from tools.server import http_errors
from tools.server.clients import client_key
from tools.server.connections import Connection
from tools.server.exchanges import Exchanges
from tools.server.requests import MAX_HEAD_BYTES
from tools.server.web_site import Site

# Connections that the server accepts before it looks after the others again, and that wait for it.
_ACCEPTED_AT_ONCE = 100
_BACKLOG = 1024


class Listener:
    """Serves a site on a socket.

    Attributes:
        site: Site to serve.
    """

    def __init__(self, site: Site, bound: socket.socket) -> None:
        """Creates a listener. `start` starts it.

        Args:
            site: Site to serve.
            bound: Socket to accept connections on.
        """
        self.site = site
        self._bound = bound
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether there are open connections, or requests that are being answered."""
        return bool(self._tasks)

    async def start(self) -> None:
        """Starts to accept connections."""
        self._server = await asyncio.start_server(
            self._accept, sock=self._bound, limit=MAX_HEAD_BYTES, backlog=_ACCEPTED_AT_ONCE
        )
        self._bound.listen(_BACKLOG)

    def stop(self) -> None:
        """Stops accepting connections, and closes each one after its current request."""
        self.site.stopping = True
        self._server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("peername")
        if not address:  # The client has already closed the connection.
            writer.close()
            return
        peer = address[0]
        key = None if self.site.clients.is_proxy(peer) else client_key(peer)
        connection = Connection(writer.transport, peer, key)
        self.site.connections.add(connection)
        task = asyncio.ensure_future(self._serve(connection, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await Exchanges(self.site, connection, reader, writer).run()
        except Exception as error:
            http_errors.log_defect(error)
        finally:
            self.site.connections.remove(connection)
            writer.close()

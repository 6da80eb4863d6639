"""Runs the web application in waitress, and shuts down without dropping requests."""

import contextlib
import logging
import signal
import socket
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from flask import Flask
from waitress import create_server, wasyncore
from waitress.server import TcpWSGIServer

from retrain.errors import UserError
from tools.server.channel import Channel

_MAX_CONNECTIONS = 500
# Seconds between two checks for slow clients. Each check visits all connections.
_CHECK_SECONDS = 0.5


def bind(host: str, port: int) -> socket.socket:
    """Returns a socket that is bound to the address. Port 0 selects a free port.

    Raises:
        UserError: If the address is in use, not one of this machine, or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise UserError(
            f"--host={host} is not an address of this machine: {error.strerror}; use 127.0.0.1 for "
            "requests from this machine only, or 0.0.0.0 for all"
        ) from error
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        # Waitress listens later. Without this, two programs could bind to the same port.
        bound.listen()
    except OSError as error:
        bound.close()
        raise UserError(
            f"cannot serve at --host={host} --port={port}: {error.strerror}; "
            "choose another --host or --port, or stop the program that uses it"
        ) from error
    return bound


class Server:
    """Serves an application."""

    def __init__(
        self, app: Flask, bound: socket.socket, *, threads: int, max_body_bytes: int, timeout: float
    ) -> None:
        """Creates a server. `run` starts it.

        Args:
            app: Application to serve.
            bound: Socket to accept connections on.
            threads: Maximum number of requests that the application handles at the same time.
            max_body_bytes: Maximum size of a request body in bytes.
            timeout: Seconds that a request can take to arrive, that an idle connection stays open,
                and that requests in progress get at shutdown.
        """
        self._timeout = timeout
        self._stopping = False
        self._next_check = 0.0
        self._map: dict[int, Any] = {}
        self._server: TcpWSGIServer = create_server(
            app,
            map=self._map,
            _start=False,
            sockets=[bound],
            threads=threads,
            # Waitress refuses a body of exactly this size, which is allowed here.
            max_request_body_size=max_body_bytes + 1,
            max_request_header_size=32_768,
            connection_limit=_MAX_CONNECTIONS,
            recv_bytes=65_536,
            channel_timeout=timeout,
            cleanup_interval=1,
            asyncore_use_poll=True,
            ident=None,
        )
        self._server.channel_class = Channel
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)

    def run(self, greeting: str) -> None:
        """Serves until SIGTERM or SIGINT, then answers the requests in progress and returns.

        Args:
            greeting: Message to log when the server accepts requests and handles the signals.
        """
        with self._stopped_by(signal.SIGTERM, signal.SIGINT):
            logging.info("%s", greeting)
            self._server.accept_connections()
            while not self._stopping:
                wasyncore.loop(timeout=1, use_poll=True, map=self._map, count=1)
                self._close_slow_connections()
        self._drain()

    @contextlib.contextmanager
    def _stopped_by(self, *signals: int) -> Iterator[None]:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self._stopping = True
            self._server.pull_trigger()

        previous = {number: signal.signal(number, stop) for number in signals}
        try:
            yield
        finally:
            # With these handlers, a second signal ends the program at once.
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _close_slow_connections(self) -> None:
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + _CHECK_SECONDS
        for connection in self._connections():
            connection.close_if_slow(now - self._timeout)

    def _drain(self) -> None:
        self._accept_pending_connections()
        self._server.accepting = False
        self._server.del_channel(self._map)
        self._server.socket.close()
        deadline = time.monotonic() + self._timeout
        while self._connections() and time.monotonic() < deadline:
            # Reads what clients have sent by now before their connections count as idle.
            wasyncore.loop(timeout=0.1, use_poll=True, map=self._map, count=1)
            for connection in self._connections():
                connection.close_if_idle()
        if remaining := len(self._connections()):
            logging.warning("%d connections were cut off", remaining)
        self._server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._map)

    def _accept_pending_connections(self) -> None:
        count = -1
        while count < len(self._connections()):
            count = len(self._connections())
            self._server.handle_accept()

    def _connections(self) -> list[Channel]:
        return list(self._server.active_channels.values())

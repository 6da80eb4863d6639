"""Requests in, answers out: waitress, with a limit on slow senders, and an end that is no cut."""

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

_MOST_CONNECTIONS = 500
# How often to look for clients that take too long; each look goes through all connections.
_LOOK_SECONDS = 0.5


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that is bound to the address, port 0 being any that is free.

    Raises:
        UserError: the address is in use, not of this machine, or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise UserError(
            f"--host={host} is not an address of this machine: {error.strerror}"
        ) from error
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        # Waitress listens later: without this, two programs could bind to the same port.
        bound.listen()
    except OSError as error:
        bound.close()
        raise UserError(
            f"cannot serve at --host={host} --port={port}: {error.strerror}; "
            "choose another --port, or end the program that has it"
        ) from error
    return bound


class Server:
    """An application that is being served."""

    def __init__(
        self, app: Flask, bound: socket.socket, threads: int, body_bytes: int, seconds: float
    ) -> None:
        """Makes a server that `run` starts.

        Args:
            app: the application.
            bound: where to serve.
            threads: how many requests the application gets at the same time.
            body_bytes: the most that a request may have.
            seconds: that a request may take to arrive, an idle connection may stay open, and what
                was begun may take when the server is told to end.
        """
        self._seconds = seconds
        self._ending = False
        self._next_look = 0.0
        self._map: dict[int, Any] = {}
        self._server: TcpWSGIServer = create_server(
            app,
            map=self._map,
            _start=False,
            sockets=[bound],
            threads=threads,
            # It refuses what has as many bytes; the limit itself is to be allowed.
            max_request_body_size=body_bytes + 1,
            max_request_header_size=32_768,
            connection_limit=_MOST_CONNECTIONS,
            recv_bytes=65_536,
            channel_timeout=seconds,
            cleanup_interval=1,
            asyncore_use_poll=True,
            ident=None,
        )
        self._server.channel_class = Channel
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)

    def run(self, greeting: str) -> None:
        """Serves until SIGTERM or SIGINT, then answers what has begun and returns.

        Args:
            greeting: what to log as soon as both requests and signals are heeded.
        """
        with self._ended_by(signal.SIGTERM, signal.SIGINT):
            logging.info("%s", greeting)
            self._server.accept_connections()
            while not self._ending:
                wasyncore.loop(timeout=1, use_poll=True, map=self._map, count=1)
                self._close_slow_senders()
        self._drain()

    @contextlib.contextmanager
    def _ended_by(self, *signals: int) -> Iterator[None]:
        def end(_number: int, _frame: FrameType | None) -> None:
            self._ending = True
            self._server.pull_trigger()

        before = {number: signal.signal(number, end) for number in signals}
        try:
            yield
        finally:
            # A second one ends the program at once.
            for number, handler in before.items():
                signal.signal(number, handler)

    def _close_slow_senders(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        for connection in self._connections():
            connection.close_if_slow(now - self._seconds)

    def _drain(self) -> None:
        self._accept_who_waits()
        self._server.accepting = False
        self._server.del_channel(self._map)
        self._server.socket.close()
        until = time.monotonic() + self._seconds
        while self._connections() and time.monotonic() < until:
            # First, so that what clients have sent by now is read before they count as idle.
            wasyncore.loop(timeout=0.1, use_poll=True, map=self._map, count=1)
            for connection in self._connections():
                connection.close_if_idle()
        if left := len(self._connections()):
            logging.warning("%d connections were cut off", left)
        self._server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._map)

    def _accept_who_waits(self) -> None:
        known = -1
        while known < len(self._connections()):
            known = len(self._connections())
            self._server.handle_accept()

    def _connections(self) -> list[Channel]:
        return list(self._server.active_channels.values())

"""Extends waitress: JSON errors, limits on incoming data, and a graceful shutdown.

Waitress reads and writes all connections in one thread and calls the application in others. This
module subclasses its channel, parser and tasks to add what waitress has no setting for.
"""

import contextlib
import logging
import socket
import time
from typing import Any

from waitress import channel, parser, task, utilities

from tools.server import http_errors

# Seconds during which the server reads and drops what a refused client still sends, so that the
# client can read the response.
_LINGER_SECONDS = 2.0

# Incoming requests are held in memory or in temporary files. Their total size is limited to this
# many requests of the maximum size.
_MAX_REQUESTS_HELD = 16


class Channel(channel.HTTPChannel):
    """A connection.

    Attributes:
        request_started: Time of `time.monotonic` at which the current request began to arrive.
        lingers: Whether to read and drop incoming data before the connection is closed. Closing it
            with unread data would reset it, and the client might never see the response.
    """

    request_started = 0.0
    lingers = False
    _linger_deadline = 0.0

    def parser_class(self, adj: Any) -> "_Parser":
        """Returns the parser for the next request. Waitress calls this like a class."""
        return _Parser(adj, self.server)

    @property
    def task_class(self) -> "type[_Task]":
        """Class that answers a request."""
        return _Task

    @property
    def error_task_class(self) -> "type[_ErrorTask]":
        """Class that answers a request that is refused before the application gets it."""
        return _ErrorTask

    @property
    def bytes_held(self) -> int:
        """Number of bytes of request bodies that the channel holds or expects."""
        # The calling thread already holds the lock.
        held = [*self.requests, *([self.request] if self.request else [])]
        return sum(request.body_bytes for request in held)

    def received(self, data: bytes) -> bool:
        """Parses data from the client."""
        if self.request is None:
            self.request_started = time.monotonic()
        return super().received(data)

    def close_if_idle(self) -> None:
        """Closes the connection if no request is in progress."""
        if not (self.requests or self.request or self.total_outbufs_len):
            self.will_close = True

    def close_if_slow(self, earliest_start: float) -> None:
        """Closes the connection if its current request began to arrive before `earliest_start`."""
        is_slow = self.request is not None and self.request_started < earliest_start
        if is_slow and not self.will_close:
            logging.info("%s cut off: it took too long to send a request", self.addr[0])
            self.will_close = True

    def readable(self) -> bool:
        """Returns whether to wait for data from the client."""
        return self._linger_deadline > 0 or super().readable()

    def writable(self) -> bool:
        """Returns whether there is data to send or a connection to close."""
        if self._linger_deadline:
            return time.monotonic() > self._linger_deadline
        return super().writable()

    def handle_read(self) -> None:
        """Reads from the client."""
        if self._linger_deadline:
            self.recv(self.adj.recv_bytes)
        else:
            super().handle_read()

    def handle_close(self) -> None:
        """Closes the connection, or starts to linger."""
        if self.lingers and self.connected and not self._linger_deadline:
            self._linger_deadline = time.monotonic() + _LINGER_SECONDS
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
            return
        super().handle_close()


class _Parser(parser.HTTPRequestParser):
    """Parses a request, and refuses it if the server already holds too much data."""

    completed = False

    def __init__(self, adj: Any, server: Any) -> None:
        super().__init__(adj)
        self._server = server

    @property
    def body_bytes(self) -> int:
        # The length of a chunked body is not known in advance.
        return self.adj.max_request_body_size if self.chunked else self.content_length

    def received(self, data: bytes) -> int:
        in_headers = not self.headers_finished
        consumed = super().received(data)
        if in_headers and self.headers_finished and not self.completed and not self._has_room():
            self.error = _TooMuchHeld("the server is receiving too much data; try again later")
            self.completed = True
        return consumed

    def _has_room(self) -> bool:
        # The channels' total includes this request.
        held = sum(other.bytes_held for other in list(self._server.active_channels.values()))
        return held <= _MAX_REQUESTS_HELD * self.adj.max_request_body_size


class _TooMuchHeld(utilities.Error):
    code = 503
    reason = "Service Unavailable"


class _Task(task.WSGITask):
    """Calls the application, and closes the connection afterwards if the server is stopping."""

    def start(self) -> None:
        super().start()
        if not self.channel.server.accepting:
            self.set_close_on_finish()


class _ErrorTask(task.ErrorTask):
    """Answers a request that waitress refuses before the application gets it."""

    def execute(self) -> None:
        error = self.request.error
        message = self._message(error)
        body = http_errors.as_json(error.code, message)
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        if error.code == _TooMuchHeld.code:
            self.response_headers.append(("Retry-After", str(http_errors.RETRY_AFTER)))
        self.set_close_on_finish()
        self.channel.lingers = True
        self.content_length = len(body)
        self.write(body)
        logging.info('%s refused: %d "%s"', self.channel.addr[0], error.code, message)

    def _message(self, error: Any) -> str:
        if error.code == utilities.RequestEntityTooLarge.code:
            return f"the request has more than {self.channel.adj.max_request_body_size - 1:,} bytes"
        return f"{error.reason}: {error.body}"

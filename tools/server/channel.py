"""A connection of waitress: errors in JSON, limits on what arrives, and an end.

Waitress reads and writes all connections in one thread and calls the application in others. What
it has no setting for is added in subclasses of its channel, parser and tasks.
"""

import contextlib
import logging
import socket
import time
from typing import Any

from waitress import channel, parser, task, utilities

from tools.server import http_errors

# How long what a refused client still sends is read and dropped, so that it gets to read why.
_LINGER_SECONDS = 2.0

# Requests that arrive are held in memory or in temporary files; together they may be as long as
# this many of the longest.
_LONGEST_AT_A_TIME = 16


class Channel(channel.HTTPChannel):
    """A connection.

    Attributes:
        request_begun: when the first byte of the request came that is being received.
        lingers: whether what comes is read and dropped before the connection is closed. Closing
            with bytes unread would reset it, and the client might never see its answer.
    """

    request_begun = 0.0
    lingers = False
    _lingers_until = 0.0

    def parser_class(self, adj: Any) -> "_Parser":
        """Returns what receives the next request; waitress calls it as it would a class."""
        return _Parser(adj, self.server)

    @property
    def task_class(self) -> "type[_Task]":
        """What answers a request."""
        return _Task

    @property
    def error_task_class(self) -> "type[_ErrorTask]":
        """What answers a request that is refused before the application sees it."""
        return _ErrorTask

    @property
    def bytes_held(self) -> int:
        """How many bytes of bodies it holds, or was told to expect."""
        # Without the lock, which the thread that asks holds already.
        held = [*self.requests, *([self.request] if self.request else [])]
        return sum(request.body_bytes for request in held)

    def received(self, data: bytes) -> bool:
        """Takes what the client sent."""
        if self.request is None:
            self.request_begun = time.monotonic()
        return super().received(data)

    def close_if_idle(self) -> None:
        """Closes it where nothing was begun."""
        if not (self.requests or self.request or self.total_outbufs_len):
            self.will_close = True

    def close_if_slow(self, begun_before: float) -> None:
        """Closes it where a request has been arriving since then."""
        if self.request is not None and self.request_begun < begun_before and not self.will_close:
            logging.info("%s cut off: it took too long to send a request", self.addr[0])
            self.will_close = True

    def readable(self) -> bool:
        """Tells whether to wait for more from the client."""
        return self._lingers_until > 0 or super().readable()

    def writable(self) -> bool:
        """Tells whether there is something to send, or to close."""
        if self._lingers_until:
            return time.monotonic() > self._lingers_until
        return super().writable()

    def handle_read(self) -> None:
        """Reads from the client."""
        if self._lingers_until:
            self.recv(self.adj.recv_bytes)
        else:
            super().handle_read()

    def handle_close(self) -> None:
        """Closes the connection, or begins to linger."""
        if self.lingers and self.connected and not self._lingers_until:
            self._lingers_until = time.monotonic() + _LINGER_SECONDS
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
            return
        super().handle_close()


class _Parser(parser.HTTPRequestParser):
    """A request that arrives, unless too much is arriving already."""

    completed = False

    def __init__(self, adj: Any, server: Any) -> None:
        super().__init__(adj)
        self._server = server

    @property
    def body_bytes(self) -> int:
        # How long a body in chunks will be is not known.
        return self.adj.max_request_body_size if self.chunked else self.content_length

    def received(self, data: bytes) -> int:
        began = not self.headers_finished
        consumed = super().received(data)
        if began and self.headers_finished and not self.completed and not self._has_room():
            self.error = _Busy("too much is being received already; come back")
            self.completed = True
        return consumed

    def _has_room(self) -> bool:
        # This one is among the channels' already.
        held = sum(other.bytes_held for other in list(self._server.active_channels.values()))
        return held <= _LONGEST_AT_A_TIME * self.adj.max_request_body_size


class _Busy(utilities.Error):
    code = 503
    reason = "Service Unavailable"


class _Task(task.WSGITask):
    """Has the application answer, and at the end of the program tells the client to go."""

    def start(self) -> None:
        super().start()
        if not self.channel.server.accepting:
            self.set_close_on_finish()


class _ErrorTask(task.ErrorTask):
    """Answers what waitress refuses before the application sees it."""

    def execute(self) -> None:
        error = self.request.error
        message = self._message(error)
        body = http_errors.as_json(error.code, message)
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        if error.code == _Busy.code:
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

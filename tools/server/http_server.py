"""Runs web applications until a signal ends the process, and then finishes their requests."""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Iterator

from retrain.errors import UserError
from retrain.system.program import interruption
from tools.server.connections import State
from tools.server.listener import Listener

# Seconds between two checks for slow clients. Each check visits all connections.
_CHECK_SECONDS = 0.25
# Buffers of a connection in the kernel, which would otherwise grow to several megabytes.
_READ_BUFFER_BYTES = 65_536
_WRITE_BUFFER_BYTES = 32_768
# Of the time for a shutdown, the share that requests in progress get.
_SHARE_FOR_REQUESTS = 0.9


def bind(host: str, port: int, *, flags: str = "") -> socket.socket:
    """Returns a socket that listens on the address. Port 0 selects a free port.

    Args:
        host: Name or address.
        port: Port.
        flags: Prefix of the names of the flags for both, for messages.

    Raises:
        UserError: If the address is in use, not one of this machine, or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:  # UnicodeError: names that are too long.
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"--{flags}host={host} is not an address of this machine: {reason}; use 127.0.0.1 for "
            "requests from this machine only, or 0.0.0.0 for all"
        ) from error
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _READ_BUFFER_BYTES)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WRITE_BUFFER_BYTES)
    try:
        bound.bind(address)
        bound.listen()  # Otherwise, another program could bind to the same port.
    except OSError as error:
        bound.close()
        raise UserError(
            f"cannot serve at --{flags}host={host} --{flags}port={port}: {error.strerror}; "
            f"choose another --{flags}host or --{flags}port, or stop the program that uses it"
        ) from error
    return bound


class Server:
    """Runs listeners until a signal ends the process."""

    def __init__(self, *listeners: Listener, seconds: float) -> None:
        """Creates a server. `run` starts it.

        Args:
            *listeners: Listeners to run.
            seconds: Time that requests in progress get at shutdown.
        """
        self._listeners = listeners
        self._seconds = seconds

    def run(self, *greetings: str) -> bool:
        """Serves until a signal ends the program, then answers the requests in progress.

        Args:
            *greetings: Messages to log when the server accepts requests and handles the signals.

        Returns:
            Whether all requests in progress were answered.
        """
        try:
            return asyncio.run(self._serve(greetings))
        finally:
            for listener in self._listeners:
                listener.site.shut_down()

    async def _serve(self, greetings: tuple[str, ...]) -> bool:
        with _stop_event(*interruption.SIGNALS) as stop:
            for listener in self._listeners:
                await listener.start()
            for greeting in greetings:
                logging.info("%s", greeting)
            while not stop.is_set():
                self._close_slow()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stop.wait(), _CHECK_SECONDS)
        return await self._drain()

    async def _drain(self) -> bool:
        deadline = time.monotonic() + _SHARE_FOR_REQUESTS * self._seconds
        # Accepts and reads what clients have sent by now, before their connections count as idle.
        await asyncio.sleep(0.1)
        for listener in self._listeners:
            listener.stop()
        while self._is_busy() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            self._close_slow()
            for listener in self._listeners:
                listener.site.connections.close_all(State.HEAD)
        answered = not self._is_busy()
        if not answered:
            count = sum(len(listener.site.connections) for listener in self._listeners)
            logging.warning("%d connections were cut off", count)
        for listener in self._listeners:
            listener.site.connections.close_all(*State)
        return answered

    def _close_slow(self) -> None:
        for listener in self._listeners:
            listener.site.connections.close_slow()

    def _is_busy(self) -> bool:
        return any(listener.is_busy for listener in self._listeners)


@contextlib.contextmanager
def _stop_event(*signals: int) -> Iterator[asyncio.Event]:
    """Returns an event that signals set. After the block, they have their previous handlers.

    Signals that the user ignores stay ignored.
    """
    stop = asyncio.Event()
    previous = {number: signal.getsignal(number) for number in signals}
    previous = {
        number: handler for number, handler in previous.items() if handler is not signal.SIG_IGN
    }
    for number in previous:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, handler)

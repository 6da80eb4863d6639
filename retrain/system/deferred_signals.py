"""Defers Ctrl-C and SIGTERM until a group of steps is complete."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def deferred_signals() -> Iterator[None]:
    """Defers SIGINT and SIGTERM to the end of the block.

    Does nothing in threads other than the main thread, the only one that Python interrupts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: set[int] = set()
    handlers: dict[int, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            # A handler that was not set by Python is None, and could not be restored.
            if handler is not None:
                handlers[number] = handler
                signal.signal(number, lambda number, _: received.add(number))
        yield
    finally:
        # SIGINT can raise an exception as soon as its handler is restored, so it comes last.
        for restored in sorted(handlers, reverse=True):
            signal.signal(restored, handlers[restored])
        for deferred in sorted(received, reverse=True):
            signal.raise_signal(deferred)

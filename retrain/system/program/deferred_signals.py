"""Defers Ctrl-C, SIGTERM and SIGHUP until a group of steps is complete."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from retrain.system.program.interruption import SIGNALS


@contextlib.contextmanager
def deferred_signals() -> Iterator[None]:
    """Defers SIGINT, SIGTERM and SIGHUP to the end of the block.

    Does nothing in threads other than the main thread, the only one that Python interrupts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: set[int] = set()
    # Callbacks run in reverse order, and all of them run even if a signal raises an exception.
    with contextlib.ExitStack() as at_end:
        at_end.callback(_raise_all, received)
        for number in SIGNALS:
            handler = signal.getsignal(number)
            # A handler that was not set by Python is None, and could not be restored.
            if handler is not None:
                at_end.callback(signal.signal, number, handler)
                signal.signal(number, lambda number, _: received.add(number))
        yield


def _raise_all(numbers: set[int]) -> None:
    # SIGINT usually raises an exception, so it comes after SIGTERM.
    for number in sorted(numbers, reverse=True):
        signal.raise_signal(number)

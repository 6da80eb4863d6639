"""Ends programs cleanly on Ctrl-C, SIGTERM and SIGHUP.

While a program loads its modules, a signal ends it at once and silently: an exception there would
print a traceback, or be turned into an ImportError. While it works, the first signal raises an
exception in the main thread, so that everything is cleaned up. Signals that the user ignores, for
example with `nohup`, stay ignored.
"""

import _imp
import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

# SIGHUP does not exist on Windows.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

# `timeout` and terminals can send several signals at once. Only a signal that comes later than that
# means that the user does not want to wait.
_SECONDS_OF_PATIENCE = 1.0
_SECONDS_TO_REPEAT = 0.1
_SECONDS_UNTIL_IMPORT_LOCK_IS_FREE = 0.01

_received: signal.Signals | None = None
_received_at = 0.0
_before_exit: list[Callable[[], object]] = []


class Interruption(KeyboardInterrupt):
    """The process got a signal that ends it. The message, if any, is for the user."""


def exit_at_once() -> None:
    """Makes signals end the process at once, with status 128 plus the number of the signal."""
    _set_handler(_exit)


def raise_exceptions() -> None:
    """Makes the first signal raise Interruption in the main thread.

    Further signals are ignored for a second. After that, they end the process at once.
    """
    _set_handler(_raise)
    sys.unraisablehook = _repeat_lost_interruption


def call_before_exit(function: Callable[[], object]) -> None:
    """Registers a function to call when a signal ends the process at once."""
    _before_exit.append(function)


def exit_status(error: BaseException) -> int | None:
    """Returns 128 plus the number of the signal that led to an exception, or None if none did.

    Libraries can turn Interruption into another exception.
    """
    if _received is not None:
        return 128 + _received
    return 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else None


def exit_without_waiting(status: int) -> NoReturn:
    """Ends an interrupted process. Calls the functions of `atexit`, but does not wait for threads.

    If the exception was raised during an import, a thread that imports the same module can wait
    forever.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # Its reader has exited.
            stream.flush()
    os._exit(status)


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


def _set_handler(handler: Callable[[int, FrameType | None], None]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                signal.signal(number, handler)


def _exit(number: int, _: FrameType | None) -> None:
    for function in _before_exit:
        function()
    os._exit(128 + number)


def _raise(number: int, frame: FrameType | None) -> None:
    global _received, _received_at
    if _imp.lock_held() and hasattr(signal, "setitimer"):
        # Python takes the lock outside of its `try`: if an exception were raised in this moment,
        # the lock would stay taken, and other threads would wait forever.
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(number))
        signal.setitimer(signal.ITIMER_REAL, _SECONDS_UNTIL_IMPORT_LOCK_IS_FREE)
        return
    if _received is None:
        _received, _received_at = signal.Signals(number), time.monotonic()
        raise Interruption
    if time.monotonic() - _received_at > _SECONDS_OF_PATIENCE:
        _exit(number, frame)


def _repeat_lost_interruption(unraisable: Any) -> None:
    """Repeats a signal whose exception Python ignores, since it was raised in a destructor."""
    global _received
    if _received is None or not isinstance(unraisable.exc_value, Interruption):
        sys.__unraisablehook__(unraisable)
        return
    repeated, _received = _received, None
    # Sent to the main thread, so that it also ends what the thread is waiting for.
    arguments = [threading.main_thread().ident, repeated]
    threading.Timer(_SECONDS_TO_REPEAT, signal.pthread_kill, arguments).start()


def _raise_all(numbers: set[int]) -> None:
    # SIGINT usually raises an exception, so it comes after SIGTERM.
    for number in sorted(numbers, reverse=True):
        signal.raise_signal(number)

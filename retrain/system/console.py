"""Messages on standard error: plain lines from this program, none from the libraries it uses."""

import contextlib
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from retrain.system.text import one_line

# Native libraries write to descriptor 2 and not to sys.stderr, so the two can be told apart.
_stderr_lock = threading.Lock()
_quiet_depth = 0
_native_stderr = -1


def set_up_messages() -> None:
    """Sends messages to standard error as plain lines, and keeps native libraries off Python's."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLineFormatter())
    # Libraries have loggers of their own, and tell there what they are doing.
    handler.addFilter(lambda record: record.name == "root" or record.levelno >= logging.ERROR)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class _OneLineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno <= logging.INFO else f"{record.levelname.capitalize()}: "
        return prefix + one_line(record.getMessage())


@contextlib.contextmanager
def quiet_native_libraries() -> Iterator[None]:
    """Drops what native code writes to standard error meanwhile, in all threads.

    TensorFlow and LiteRT greet there when they are loaded, whatever their log level is.
    What they have to say about failures arrives as exceptions.
    """
    global _quiet_depth, _native_stderr
    with _stderr_lock:
        _quiet_depth += 1
        if _quiet_depth == 1:
            _native_stderr = os.dup(2)
            with Path(os.devnull).open("w") as devnull:
                os.dup2(devnull.fileno(), 2)
    try:
        yield
    finally:
        with _stderr_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                os.dup2(_native_stderr, 2)
                os.close(_native_stderr)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Drops also what libraries print, log and warn of in Python, in all threads.

    Nothing of this program may log meanwhile, for it would be lost, too.
    """
    disabled = logging.root.manager.disable
    with (
        quiet_native_libraries(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.disable()
        try:
            yield
        finally:
            logging.disable(disabled)

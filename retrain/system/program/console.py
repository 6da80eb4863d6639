"""Sends this program's messages to standard error as plain lines, and hides those of libraries."""

import contextlib
import faulthandler
import io
import logging
import os
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterator

from retrain.system.program.native_messages import HEADING, NativeMessages
from retrain.system.program.standard_streams import (
    open_closed_descriptors,
    standard_error,
    standard_output,
)
from retrain.system.text import one_line

# Native libraries write to descriptor 2 and not to sys.stderr, so the two can be told apart.
_native_lock = threading.Lock()
_native_messages: NativeMessages | None = None
_quiet_depth = 0
_saved_stderr = -1

_WARNINGS_HEADING = "Last warnings of Python libraries:"
# The last warnings of Python libraries, which are printed if the program fails.
_warnings: deque[str] = deque(maxlen=20)


def set_up_messages() -> None:
    """Prints log messages as plain lines, and gives sys.stderr a descriptor of its own."""
    open_closed_descriptors()
    sys.stderr = standard_error(os.dup(2))
    sys.stdout = standard_output()
    # Shows where in the Python code native code has crashed.
    faulthandler.enable(sys.stderr)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLineFormatter())
    # Libraries log what they are doing with loggers of their own.
    handler.addFilter(lambda record: record.name == "root" or record.levelno >= logging.ERROR)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Warnings name lines in the code of libraries, not what a user can change. Developers can set
    # PYTHONWARNINGS to see them.
    if not sys.warnoptions:
        logging.captureWarnings(capture=True)
        python_warnings = logging.getLogger("py.warnings")
        python_warnings.handlers = [_WarningKeeper()]
        python_warnings.propagate = False


class _WarningKeeper(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _warnings.append(record.getMessage().strip())


class _OneLineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno <= logging.INFO else f"{record.levelname.capitalize()}: "
        return prefix + one_line(record.getMessage())


@contextlib.contextmanager
def quiet_native_libraries() -> Iterator[None]:
    """Hides what native code writes to standard error in the block, in all threads.

    The last messages are kept and printed if the program fails; see `native_messages`.
    """
    _begin_quiet()
    try:
        yield
    finally:
        _end_quiet()


def _begin_quiet() -> None:
    global _native_messages, _quiet_depth, _saved_stderr
    with _native_lock:
        _quiet_depth += 1
        if _quiet_depth == 1:
            if _native_messages is None:
                _native_messages = NativeMessages()
            _saved_stderr = os.dup(2)
            os.dup2(_native_messages.descriptor, 2)


def _end_quiet() -> None:
    global _quiet_depth
    with _native_lock:
        _quiet_depth -= 1
        if _quiet_depth == 0:
            os.dup2(_saved_stderr, 2)
            os.close(_saved_stderr)
            assert _native_messages is not None
            _native_messages.keep()


def print_library_messages() -> None:
    """Prints the last native messages and Python warnings that were hidden."""
    if _native_messages and (text := _native_messages.text()):
        print(HEADING, text, sep="\n", file=sys.stderr)
    if _warnings:
        print(_WARNINGS_HEADING, *_warnings, sep="\n", file=sys.stderr)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Also hides what libraries print, log and warn about in Python, in all threads.

    This hides the log messages of this program too, so the block must not log anything.
    """
    disabled_level = logging.root.manager.disable
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
            logging.disable(disabled_level)

"""Writes standard output and standard error, whatever they are connected to."""

import io
import os
import sys
from typing import Any, TextIO

from retrain.errors import UserError


class StandardOutputError(UserError):
    """Standard output cannot be written.

    Attributes:
        reader_exited: Whether standard output is a pipe whose reader, such as `head`, has exited.
    """

    def __init__(self, error: OSError) -> None:
        """Takes the reason from the error of the system."""
        super().__init__(f"standard output cannot be written: {error.strerror}")
        self.reader_exited = isinstance(error, BrokenPipeError)


def open_closed_descriptors() -> None:
    """Opens those of the descriptors 0, 1 and 2 that are closed.

    Otherwise the next file that the program opens becomes its standard output. Reading then returns
    nothing, writing to standard output is an error, and messages are dropped.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The system uses the smallest free number.
            os.open(os.devnull, os.O_WRONLY if descriptor == 2 else os.O_RDONLY)


def standard_output() -> TextIO:
    """Returns a text file that writes to descriptor 1 and raises StandardOutputError."""
    return _text_file(_Output(1, "w", closefd=False), getattr(sys.stdout, "encoding", None))


def standard_error(descriptor: int) -> TextIO:
    """Returns a text file that writes to a descriptor, and drops what cannot be written."""
    return _text_file(_Messages(descriptor, "w"), getattr(sys.stderr, "encoding", None))


class _Output(io.FileIO):
    _failed = False

    def write(self, data: Any) -> int:
        # Python flushes buffers again when it exits.
        if self._failed:
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            raise StandardOutputError(error) from error


class _Messages(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _text_file(raw: io.FileIO, encoding: str | None) -> TextIO:
    # Names of files can contain bytes that are not valid text.
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding or "utf-8", "backslashreplace", line_buffering=True
    )

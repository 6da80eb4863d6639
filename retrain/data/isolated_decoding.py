"""Decodes image files in separate processes, for formats whose decoders nothing else bounds.

A process costs 45 MB and a quarter of a second once. There are as many as images are decoded at
the same time. They end when this process ends, in whatever way, because their input then ends.
"""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
from typing import Any

from retrain.data import decoder_process
from retrain.data.decoder_process import Request
from retrain.data.image_limits import ImageLimits
from retrain.data.unreadable_image import UnreadableImageError, refuse_without_memory

# A pixel array of the usual size fits, so that the processes wait for each other only once.
_PIPE_BYTES = 1 << 20
_SECONDS_TO_EXIT = 5


class _Decoder:
    """A process that decodes one image after the other."""

    def __init__(self) -> None:
        # Fresh Python, because a fork of a process with threads can wait for their locks forever.
        self._process = subprocess.Popen(
            # With -m, modules in the current folder could take the place of others.
            [sys.executable, decoder_process.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE_BYTES,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "PYTHONSAFEPATH": "1",
                # Each further arena would reserve memory that counts but is not used.
                "MALLOC_ARENA_MAX": "1",
                # Memory is not returned to the system and fetched again for each image.
                "MALLOC_TOP_PAD_": "8000000",
            },
            # Ctrl-C is for the main process.
            start_new_session=True,
        )

    def decode(self, fields: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """Returns the response.

        Raises:
            BrokenPipeError: If the process had already ended.
            EOFError: If it ended while it decoded the image.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        decoder_process.write_message(self._process.stdin, fields, data)
        return decoder_process.read_message(self._process.stdout)

    def exit_status(self) -> int:
        """Returns the exit status of the process, which has closed its output."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_EXIT)
        self.end()
        return self._process.returncode

    def end(self) -> None:
        """Ends the process."""
        self._process.kill()
        for file in (self._process.stdin, self._process.stdout):
            if file:
                with contextlib.suppress(OSError):
                    file.close()
        self._process.wait()


_idle: list[_Decoder] = []
_lock = threading.Lock()


@refuse_without_memory()
def decode(data: bytes, request: Request, limits: ImageLimits) -> tuple[tuple[int, int], bytes]:
    """Decodes an image file to upright RGB pixels.

    Args:
        data: Content of an image file.
        request: How to decode it.
        limits: Budget of the image. The process that exceeds it is ended.

    Returns:
        Width and height in pixels, and the pixels.

    Raises:
        UnreadableImageError: If the image cannot be decoded within the limits.
    """
    fields = {"request": dataclasses.asdict(request), "limits": dataclasses.asdict(limits)}
    decoder = _take()
    try:
        try:
            response, pixels = decoder.decode(fields, data)
        except BrokenPipeError:
            # It was ended while it was idle, for example because the system lacked memory.
            decoder.end()
            decoder = _start()
            response, pixels = decoder.decode(fields, data)
    except (EOFError, BrokenPipeError) as error:
        raise UnreadableImageError(_explain(decoder.exit_status(), limits)) from error
    except BaseException:
        # The rest of its response would be taken for the next one.
        decoder.end()
        raise
    with _lock:
        _idle.append(decoder)
    if "reason" in response:
        raise UnreadableImageError(response["reason"])
    width, height = response["size"]
    return (width, height), pixels


def _take() -> _Decoder:
    with _lock:
        if _idle:
            return _idle.pop()
    return _start()


def _start() -> _Decoder:
    try:
        return _Decoder()
    except OSError as error:
        raise UnreadableImageError(f"its decoder cannot be started: {error.strerror}") from error


def _explain(status: int, limits: ImageLimits) -> str:
    if status == -signal.SIGALRM:
        return f"decoding it takes more than the maximum of {limits.seconds:g} seconds"
    if status == -signal.SIGKILL:
        return "the system ended its decoder, probably for lack of memory"
    return f"its decoder failed with exit status {status}"

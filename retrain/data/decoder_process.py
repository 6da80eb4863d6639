"""Decodes image files in a process of its own, so that nothing in a file exceeds the budget.

`retrain.data.isolated_decoding` starts it. The process reads requests from standard input and
writes responses to standard output until the end of the input. A message is the length of a JSON
object in four bytes, the object, and as many further bytes as its key "bytes" states. The kernel
limits the memory of the process, and ends it if an image takes too long: native code that is busy
cannot be interrupted in another way.
"""

import dataclasses
import json
import os
import struct
import sys
from typing import IO, Any

from retrain.data import fitting, image_header, upright
from retrain.data.image_limits import ImageLimits
from retrain.data.unreadable_image import UnreadableImageError, refuse_without_memory
from retrain.metadata import STRETCH

_LENGTH = struct.Struct(">I")


@dataclasses.dataclass(frozen=True)
class Request:
    """How to decode an image file.

    Attributes:
        height: Height in pixels of the result, if it is resized.
        width: Width in pixels of the result, if it is resized.
        preprocessing_version: See `pixels.decode`.
        resized: Whether the result has the given size, and not that of the file.
        fit: See `pixels.decode`.
    """

    height: int
    width: int
    preprocessing_version: int
    resized: bool
    fit: str = STRETCH


def write_message(file: IO[bytes], fields: dict[str, Any], content: bytes | memoryview) -> None:
    """Writes a message."""
    head = json.dumps({**fields, "bytes": len(content)}).encode()
    file.write(_LENGTH.pack(len(head)) + head)
    file.write(content)
    file.flush()


def read_message(file: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Returns the fields and the content of the next message.

    Raises:
        EOFError: If the file ends before the end of the message.
    """
    (length,) = _LENGTH.unpack(_read(file, _LENGTH.size))
    fields = json.loads(_read(file, length))
    return fields, _read(file, fields["bytes"])


def _read(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data


def main() -> None:
    """Decodes images until the end of standard input."""
    _end_on_alarm()
    _use_one_thread()
    output = _take_standard_output()
    while True:
        try:
            fields, data = read_message(sys.stdin.buffer)
        except EOFError:
            return
        request = Request(**fields["request"])
        limits = ImageLimits(**fields["limits"])
        _limit_process(limits)
        try:
            with refuse_without_memory():
                response, content = _decode(data, request, limits)
        except UnreadableImageError as error:
            response, content = {"reason": str(error)}, b""
        _limit_process(None)
        write_message(output, response, content)
        del data, content


def _decode(data: bytes, request: Request, limits: ImageLimits) -> tuple[dict[str, Any], bytes]:
    height, width = request.height, request.width
    rgb = upright.decode_parsed(
        image_header.parse(data, limits),
        height,
        width,
        preprocessing_version=request.preprocessing_version,
        limits=limits,
        warn=lambda _: None,
    )
    if request.resized:
        pixels = fitting.resize_to_fit(rgb, height, width, fit=request.fit)
        return {"size": (width, height)}, pixels.tobytes()
    return {"size": rgb.size}, rgb.tobytes()


def _use_one_thread() -> None:
    """Lets each decoder use one thread. Several images are decoded in as many processes.

    Each thread of a decoder would reserve a multiple of the memory that it uses.
    """
    import pillow_heif
    from PIL import AvifImagePlugin

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    pillow_heif.options.DECODE_THREADS = 1


def _take_standard_output() -> IO[bytes]:
    """Returns the file for responses, and keeps messages of native libraries out of it."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output


def _end_on_alarm() -> None:
    """Lets the signal of the timer end this process, whatever the process that started it does."""
    import signal  # Windows does not have this one.

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})


def _limit_process(limits: ImageLimits | None) -> None:
    """Limits the memory and time from now on, or removes the limits."""
    import resource  # Not on Windows.
    import signal

    # The signal ends the process, because nothing handles it.
    signal.setitimer(signal.ITIMER_REAL, limits.seconds if limits else 0)
    if sys.platform == "linux":
        maximum = resource.RLIM_INFINITY
        if limits:
            with open("/proc/self/statm") as file:  # noqa: PTH123
                maximum = int(file.read().split()[0]) * resource.getpagesize()
            maximum += limits.memory_bytes
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard != resource.RLIM_INFINITY:
            maximum = hard if maximum == resource.RLIM_INFINITY else min(maximum, hard)
        resource.setrlimit(resource.RLIMIT_AS, (maximum, hard))


if __name__ == "__main__":
    main()

"""Keeps what native libraries write to standard error, to show it only if the program fails.

Whatever their log level, native libraries write greetings to descriptor 2 when they are loaded, and
the reason just before they abort the process. In a quiet block (`console.quiet_native_libraries`),
descriptor 2 is a temporary file without a name. At the end of the block, the last 64 kB are kept in
memory, and `command_line.run` prints them if the program fails with an exception.

If native code ends the process (`abort`, a segmentation fault), no Python code runs any more, and a
signal handler cannot safely print a file. A separate process, the watcher, therefore waits for the
end of a pipe that only this process can write to. A normal exit writes a line to the pipe, and the
watcher exits. If the pipe closes without that line, the watcher prints the file. It is a shell,
which starts in a fifth of a millisecond with the first quiet block.
"""

import atexit
import contextlib
import os
import tempfile
from functools import partial
from pathlib import Path

from retrain.system.program.interruption import call_before_exit

# Maximum number of bytes that are kept and printed.
LIMIT = 64 * 1024
HEADING = "Last messages of native libraries:"

# Reads the pipe as descriptor 0 and the file as descriptor 1. Ctrl-C reaches the shell, too.
_WATCHER = f"""
trap "" HUP INT TERM
exec 3<&1 1>&2
read -r ended || {{
    messages=$(tail -c {LIMIT} <&3)
    test -z "$messages" || printf "%s\\n" "{HEADING}" "$messages"
}}
"""


class NativeMessages:
    """The messages that native libraries have written to a descriptor.

    Attributes:
        descriptor: Descriptor to write to.
    """

    def __init__(self) -> None:
        """Opens the file, and starts the watcher if the system supports it."""
        self._kept = b""
        # The messages are rarely needed, so the program runs even if there is no place for them.
        try:
            self.descriptor, reader = _open_without_name()
        except OSError:
            self.descriptor = os.open(os.devnull, os.O_WRONLY)
            return
        with contextlib.suppress(OSError, AttributeError):  # Windows has no posix_spawn.
            _start_watcher(reader)
        os.close(reader)

    def keep(self) -> None:
        """Moves the messages from the file to memory."""
        size = os.fstat(self.descriptor).st_size
        if size:
            newest = os.pread(self.descriptor, LIMIT, max(0, size - LIMIT))
            self._kept = (self._kept + newest)[-LIMIT:]
            os.ftruncate(self.descriptor, 0)

    def text(self) -> str:
        """Returns the last messages that were kept, at most 64 kB."""
        return self._kept.decode(errors="replace").strip()


def _open_without_name() -> tuple[int, int]:
    """Returns two descriptors of a temporary file, one to append to it and one to read it."""
    reader, name = tempfile.mkstemp(prefix="retrain-")
    try:
        return os.open(name, os.O_RDWR | os.O_APPEND), reader
    except BaseException:
        os.close(reader)
        raise
    finally:
        Path(name).unlink()


def _start_watcher(file: int) -> None:
    end_of_pipe, pipe = os.pipe()
    try:
        os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _WATCHER],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, end_of_pipe, 0),
                (os.POSIX_SPAWN_DUP2, file, 1),
            ],
        )
    finally:
        os.close(end_of_pipe)
    dismiss = partial(_dismiss_watcher, pipe, os.getpid())
    atexit.register(dismiss)
    call_before_exit(dismiss)


def _dismiss_watcher(pipe: int, process_id: int) -> None:
    # Forked child processes also run this function when they exit.
    if os.getpid() == process_id:
        with contextlib.suppress(OSError):
            os.write(pipe, b"\n")

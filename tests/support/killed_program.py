"""Runs a Python program that is killed before one of its file operations, or after some time."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

# Counts the operations on files in a folder, and kills the process before one of them.
_CODE = """
import os, runpy, signal, sys

_NAMES = {"open", "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
          "os.symlink", "os.truncate", "shutil.rmtree"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_folder, _at, _at_rename = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
_count = _renames = 0

def _hook(event, arguments):
    global _count, _renames
    if event not in _NAMES or (event == "open" and not arguments[2] & _WRITES):
        return
    path = arguments[0]
    if isinstance(path, int) and event != "os.truncate":
        return
    if not isinstance(path, int) and not os.fsdecode(path).startswith(_folder):
        return
    _count += 1
    _renames += event == "os.rename"
    if _count == _at or (event == "os.rename" and _renames == _at_rename):
        os.kill(os.getpid(), signal.SIGKILL)

sys.argv = sys.argv[4:]
sys.addaudithook(_hook)
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(f"operations: {_count} {_renames}", file=sys.stderr)
"""


class Outcome(NamedTuple):
    """How a program ended.

    Attributes:
        status: Exit status, or the negative number of the signal that ended it.
        operations: Number of file operations; 0 if the program was killed.
        renames: Number of those that rename a file or folder.
        seconds: Elapsed time.
        message: What the program wrote to standard error.
    """

    status: int
    operations: int
    renames: int
    seconds: float
    message: str

    @property
    def is_killed(self) -> bool:
        """Whether the program did not end by itself."""
        return self.status == -signal.SIGKILL


def run(
    arguments: Sequence[object],
    folder: Path,
    *,
    at_operation: int = 0,
    at_rename: int = 0,
    after_seconds: float | None = None,
) -> Outcome:
    """Runs a program, and kills it with SIGKILL.

    Args:
        arguments: Path of a Python file, and the arguments of the program.
        folder: Folder in which file operations count.
        at_operation: Number of the file operation before which the program is killed; 0 for none.
        at_rename: Number of the rename before which it is killed; 0 for none.
        after_seconds: Seconds after which it is killed; None for no limit.
    """
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", _CODE, str(folder), str(at_operation), str(at_rename)]
        + [str(argument) for argument in arguments],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, message = process.communicate(timeout=after_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        _, message = process.communicate()
    seconds = time.monotonic() - start
    counts = re.findall(r"^operations: (\d+) (\d+)$", message, re.MULTILINE)
    operations, renames = map(int, counts[-1]) if counts else (0, 0)
    return Outcome(process.returncode, operations, renames, seconds, message)

"""Runs Python code in a process of its own, for code that changes or ends the whole process."""

import os
import subprocess
import sys
from typing import Any


def run_python(code: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs `code` to its end and returns what it printed.

    Args:
        code: Python code. It can import the same modules as the caller.
        *arguments: Command-line arguments, `sys.argv[1:]` in the code.
        **options: Options of `subprocess.run` that override the defaults.
    """
    defaults: dict[str, Any] = {
        "env": {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "timeout": 60,
    }
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], **defaults | options)

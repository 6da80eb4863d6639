"""Runs programs of this repository and measures their time."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

# Begins the line in which a program prints the processor seconds of what it measures.
CPU_SECONDS = "CPU seconds: "


class TimedRun(NamedTuple):
    """A finished run.

    Attributes:
        seconds: Elapsed time, including the start of Python.
        output: What the program printed to standard output.
    """

    seconds: float
    output: str


def run(*command: str, status: int = 0) -> TimedRun:
    """Runs a Python file with arguments.

    Raises:
        RuntimeError: If the exit status differs from `status`.
    """
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - start
    if done.returncode != status:
        raise RuntimeError(f"{command} exited with status {done.returncode}: {done.stderr}")
    return TimedRun(seconds, done.stdout)


def run_retrain(
    images: Path, folder: Path, *flags: str, program: str = "retrain/main.py"
) -> TimedRun:
    """Trains a classifier. The cache and all outputs are in `folder`."""
    return run(
        program,
        f"--image_dir={images}",
        f"--bottleneck_dir={folder}/cache",
        f"--output_graph={folder}/graph.pb",
        f"--output_labels={folder}/labels.txt",
        f"--summaries_dir={folder}/logs",
        *flags,
    )

"""The whole job as a process, against the original's way of working, in one run.

    bazel run //tests/benchmarks:whole_job_benchmark -- --image_dir=DIR

Prints seconds for a cold and for a warm cache, and for programs that end at once.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from retrain import command_line
from retrain.runtime import user_path

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with a sub-folder for each category.", required=True
)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "How often to measure ours.", lower_bound=1)
_ORIGINAL = flags.DEFINE_boolean("original", True, "Measure the original's way too, once.")


def main(_: list[str]) -> None:
    """Prints a table of seconds."""
    pictures = f"--image_dir={user_path(_IMAGE_DIR.value)}"
    seconds: dict[str, list[float]] = {}
    for _round in range(_ROUNDS.value):
        with tempfile.TemporaryDirectory() as folder:
            ours = [
                *("retrain/main.py", pictures, f"--bottleneck_dir={folder}/cache"),
                *(f"--output_graph={folder}/graph.pb", f"--output_labels={folder}/labels.txt"),
                f"--summaries_dir={folder}/logs",
            ]
            seconds.setdefault("retrain, cold cache", []).append(_seconds(*ours))
            seconds.setdefault("retrain, warm cache", []).append(_seconds(*ours))
            if _ORIGINAL.value and "original, cold cache" not in seconds:
                original = ["tests/benchmarks/original_approach.py", pictures]
                original.append(f"--bottleneck_dir={folder}/text")
                seconds["original, cold cache"] = [_seconds(*original)]
            picture = next(p for p in user_path(_IMAGE_DIR.value).rglob("*.jp*g") if p.is_file())
            label = ["label_image/main.py", f"--graph={folder}/graph.pb", str(picture)]
            seconds.setdefault("label_image, a picture", []).append(_seconds(*label))
        seconds.setdefault("retrain --help", []).append(_seconds("retrain/main.py", "--help"))
        wrong = _seconds("retrain/main.py", "--wrong_flag", status=1)
        seconds.setdefault("retrain, a wrong flag", []).append(wrong)
    for name, values in seconds.items():
        print(f"{name:24} {statistics.median(values):7.2f} s")


def _seconds(*command: str, status: int = 0) -> float:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
    )
    if done.returncode != status:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
    return time.monotonic() - begun


if __name__ == "__main__":
    command_line.run(main, __doc__)

"""Whole jobs as processes, against the original's way of working, in one run.

    bazel run //tests/benchmarks:jobs -- --image_dir=DIR

Prints seconds with a cold and with a warm cache, plain and with the four distortions, and of
programs that end at once. What the original's 4,000 steps take is calculated from some of them.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from retrain.system import command_line
from retrain.system.files import user_path

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with a sub-folder for each class.", required=True
)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "How often to measure each.", lower_bound=1)

_DISTORTIONS = [
    *("--random_crop=10", "--random_scale=10", "--random_brightness=10", "--flip_left_right"),
]
_STEPS = 4000
_STEPS_MEASURED = {"original": 200, "original, distorted": 10}


def main(_: list[str]) -> None:
    """Prints a table of seconds."""
    seconds: dict[str, list[float]] = {}
    for number in range(_ROUNDS.value):
        for name, spent in _round().items():
            seconds.setdefault(name, []).append(spent)
        print(f"Round {number + 1} of {_ROUNDS.value} is done.", file=sys.stderr, flush=True)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        line = f"{name:32} {median:9.2f} s"
        kind = "original, distorted" if "distorted" in name else "original"
        if name.startswith("retrain, ") and "flag" not in name:
            line += f"   {medians[kind] / median:6.1f} times as fast as the original"
        print(line)


def _round() -> dict[str, float]:
    images = f"--image_dir={user_path(_IMAGE_DIR.value)}"
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, distortions in (("", []), (", distorted", _DISTORTIONS)):
            ours = [
                *("retrain/main.py", images, f"--bottleneck_dir={folder}/cache{len(kind)}"),
                *(f"--output_graph={folder}/graph.pb", f"--output_labels={folder}/labels.txt"),
                *(f"--summaries_dir={folder}/logs", *distortions),
            ]
            seconds[f"retrain, cold{kind}"] = _run(*ours)[0]
            seconds[f"retrain, warm{kind}"] = _run(*ours)[0]
            name = f"original{kind}"
            original = ["tests/benchmarks/original_approach.py", images]
            original.append(f"--how_many_training_steps={_STEPS_MEASURED[name]}")
            original.append(f"--bottleneck_dir={folder}/text{len(kind)}")
            before, per_step = _original(*original, *(["--distort"] if kind else []))
            seconds[name] = before + _STEPS * per_step
        image = next(p for p in user_path(_IMAGE_DIR.value).rglob("*.jp*g") if p.is_file())
        label = ["label_image/main.py", f"--graph={folder}/graph.pb", str(image)]
        seconds["label_image, an image"] = _run(*label)[0]
    seconds["retrain --help"] = _run("retrain/main.py", "--help")[0]
    seconds["retrain --wrong_flag"] = _run("retrain/main.py", "--wrong_flag", status=1)[0]
    return seconds


def _original(*command: str) -> tuple[float, float]:
    """Returns seconds until the first step, loading included, and of each step."""
    whole, text = _run(*command)
    ((steps, per_step),) = re.findall(r"^(\d+) steps of (.*) s$", text, re.MULTILINE)
    return whole - int(steps) * float(per_step), float(per_step)


def _run(*command: str, status: int = 0) -> tuple[float, str]:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
    )
    if done.returncode != status:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
    return time.monotonic() - begun, done.stdout


if __name__ == "__main__":
    command_line.run(main, __doc__)

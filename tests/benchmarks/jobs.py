"""Measures whole runs, against the algorithm of TensorFlow's `examples/image_retraining`.

    bazel run //tests/benchmarks:jobs -- --image_dir=DIR

Prints the seconds of runs with an empty and with a full cache, without and with distortions, and of
programs that end at once. Only some of the 4,000 steps of image_retraining are measured, and the
time of all steps is extrapolated from these.
"""

import re
import statistics
import sys
import tempfile
from pathlib import Path

from absl import flags

from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from tests.benchmarks import timed_process

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with a sub-folder of images for each class.", required=True
)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Number of measurements of each run.", lower_bound=1)

_DISTORTIONS = (
    "--random_crop=10",
    "--random_scale=10",
    "--random_brightness=10",
    "--flip_left_right",
)
# Steps of image_retraining by default.
_STEPS = 4000
# Steps to measure without and with distortions, keyed by the end of a run's name.
_MEASURED_STEPS = {"": 200, ", distorted": 10}


def main(_: list[str]) -> None:
    """Prints a table of seconds."""
    seconds: dict[str, list[float]] = {}
    for number in range(_ROUNDS.value):
        for name, elapsed in _round().items():
            seconds.setdefault(name, []).append(elapsed)
        print(f"Round {number + 1} of {_ROUNDS.value} is done.", file=sys.stderr, flush=True)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        line = f"{name:32} {median:9.2f} s"
        if name.startswith("retrain, "):
            kind = ", distorted" if name.endswith("distorted") else ""
            ratio = medians[f"image_retraining{kind}"] / median
            line += f"   {ratio:6.1f} times as fast as image_retraining"
        print(line)


def _round() -> dict[str, float]:
    images = user_path(_IMAGE_DIR.value)
    seconds = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, distortions in (("", ()), (", distorted", _DISTORTIONS)):
            outputs = folder / f"outputs{kind}"
            outputs.mkdir()
            for cache in ("empty", "full"):
                run = timed_process.run_retrain(images, outputs, *distortions)
                seconds[f"retrain, {cache} cache{kind}"] = run.seconds
            seconds[f"image_retraining{kind}"] = _image_retraining(
                _MEASURED_STEPS[kind],
                f"--image_dir={images}",
                f"--bottleneck_dir={outputs}/text",
                *(["--distort"] if kind else []),
            )
        image = next(path for path in images.rglob("*.jp*g") if path.is_file())
        seconds["label_image, one image"] = timed_process.run(
            "label_image/main.py", f"--graph={folder}/outputs/graph.pb", str(image)
        ).seconds
    seconds["retrain --help"] = timed_process.run("retrain/main.py", "--help").seconds
    seconds["retrain --wrong_flag"] = timed_process.run(
        "retrain/main.py", "--wrong_flag", status=1
    ).seconds
    return seconds


def _image_retraining(steps: int, *arguments: str) -> float:
    """Returns the seconds of image_retraining with all steps, extrapolated from `steps` steps."""
    program = "tests/benchmarks/original_approach.py"
    run = timed_process.run(program, f"--how_many_training_steps={steps}", *arguments)
    (per_step,) = re.findall(r"(?m)^\d+ steps of (.*) s$", run.output)
    before_first_step = run.seconds - steps * float(per_step)
    return before_first_step + _STEPS * float(per_step)


if __name__ == "__main__":
    command_line.run(main, __doc__)

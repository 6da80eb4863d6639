"""What fine-tuning gains, and what it takes, as whole runs of retrain.

    bazel run //tests/benchmarks:fine_tuning -- --image_dir=DIR

DIR may be left out where RETRAIN_DATA names a folder that has the images of hands, `signs`. Each
run has an empty cache. Prints for the last layer alone, the same with distortions, and fine-tuning:
wrong labels and cross entropy on the validation part and on the test part, calibration, minutes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from absl import flags

from retrain.errors import UserError
from retrain.system import command_line
from retrain.system.files import user_path

_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder with a sub-folder for each class.")
_SEEDS = flags.DEFINE_integer("seeds", 1, "With how many seeds to fine-tune.", lower_bound=1)
_EPOCHS = flags.DEFINE_integer("epochs", 8, "Of fine-tuning.", lower_bound=1)
_LAYERS = flags.DEFINE_list("layers", ["-1"], "Of fine-tuning, one or several to compare.")

_DISTORTIONS = ("--random_crop=15", "--random_scale=30", "--random_brightness=20")


def main(arguments: list[str]) -> None:
    """Prints the table, a line after each run."""
    data = os.environ.get("RETRAIN_DATA")
    if arguments or not (_IMAGE_DIR.value or data):
        raise UserError("--image_dir=DIR is needed, or RETRAIN_DATA")
    images = user_path(_IMAGE_DIR.value) if _IMAGE_DIR.value else Path(str(data), "signs")
    runs: dict[str, tuple[str, ...]] = {
        "last layer": (),
        "last layer, distortions": _DISTORTIONS,
    }
    for layers in _LAYERS.value:
        for seed in range(_SEEDS.value):
            name = f"{_EPOCHS.value} epochs, layers {layers}, seed {seed}"
            runs[name] = (
                f"--fine_tune_epochs={_EPOCHS.value}",
                f"--fine_tune_layers={layers}",
                f"--seed={seed}",
            )
    print(f"{'':36}  validation part        test part              calibration  minutes")
    for name, how in runs.items():
        numbers, spent = _run(images, how)
        columns = [_column(numbers[part]) for part in ("validation", "test")]
        gap = 100 * numbers["test"]["expected_calibration_error"]
        tuned = "fine_tuning" in numbers["training"]
        kept = "  (does not help)" if any("fine_tune" in flag for flag in how) > tuned else ""
        print(f"{name:36}  {'  '.join(columns)}  {gap:9.1f} %  {spent / 60:7.1f}{kept}", flush=True)


def _column(numbers: dict[str, Any]) -> str:
    wrong = numbers["count"] - sum(row[i] for i, row in enumerate(numbers["confusion"]))
    share = f"{100 * numbers['accuracy']:.1f} %"
    return f"{wrong:3} of {numbers['count']}, {share:>7}, {numbers['cross_entropy']:.3f}"


def _run(images: Path, how: tuple[str, ...]) -> tuple[dict[str, Any], float]:
    """Returns the numbers of a run, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "retrain/main.py", f"--image_dir={images}", "--summaries_dir="),
            *(f"--bottleneck_dir={folder}/cache", f"--output_graph={folder}/graph.pb"),
            *(f"--output_labels={folder}/labels.txt", f"--metrics_json={folder}/metrics.json"),
            *how,
        ]
        begun = time.monotonic()
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
        )
        spent = time.monotonic() - begun
        if done.returncode:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
        return json.loads(Path(folder, "metrics.json").read_text()), spent


if __name__ == "__main__":
    command_line.run(main, __doc__)

"""Measures what fine-tuning gains and costs, with whole runs of retrain.

    bazel run //tests/benchmarks:fine_tuning -- --image_dir=DIR

By default, DIR is the folder `signs` in the folder that RETRAIN_DATA names. Each run has an empty
cache. The runs train the last layer, the last layer with distortions, and the network. The program
prints errors and cross entropy on the validation and test splits, the calibration error, and
minutes.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from absl import flags

from retrain.errors import UserError
from retrain.system import command_line
from retrain.system.files import user_path
from tests.benchmarks import timed_process

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with a sub-folder of images for each class."
)
_SEEDS = flags.DEFINE_integer(
    "seeds", 1, "Number of seeds to repeat fine-tuning with.", lower_bound=1
)
_EPOCHS = flags.DEFINE_integer("epochs", 8, "Number of epochs of fine-tuning.", lower_bound=1)
_LAYERS = flags.DEFINE_list("layers", ["-1"], "Values of --fine_tune_layers to compare.")

_DISTORTIONS = ("--random_crop=15", "--random_scale=30", "--random_brightness=20")


def main(_: list[str]) -> None:
    """Prints a table, one row after each run."""
    data = os.environ.get("RETRAIN_DATA")
    if not (_IMAGE_DIR.value or data):
        raise UserError("--image_dir is required: a folder with a sub-folder of images per class")
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
    print(f"{'':36}  validation split       test split             calibration  minutes")
    for name, run_flags in runs.items():
        metrics, seconds = _run(images, run_flags)
        columns = [_column(metrics[split]) for split in ("validation", "test")]
        gap = 100 * metrics["test"]["expected_calibration_error"]
        tuned = "fine_tuning" in metrics["training"]
        requested = any("fine_tune" in flag for flag in run_flags)
        note = "  (not kept)" if requested and not tuned else ""
        row = f"{name:36}  {'  '.join(columns)}  {gap:9.1f} %  {seconds / 60:7.1f}{note}"
        print(row, flush=True)


def _column(metrics: dict[str, Any]) -> str:
    errors = metrics["count"] - sum(row[i] for i, row in enumerate(metrics["confusion"]))
    accuracy = f"{100 * metrics['accuracy']:.1f} %"
    return f"{errors:3} of {metrics['count']}, {accuracy:>7}, {metrics['cross_entropy']:.3f}"


def _run(images: Path, run_flags: tuple[str, ...]) -> tuple[dict[str, Any], float]:
    """Returns the metrics of a run, and its seconds."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "metrics.json")
        run = timed_process.run_retrain(
            images, Path(name), f"--metrics_json={file}", "--summaries_dir=", *run_flags
        )
        return json.loads(file.read_text()), run.seconds


if __name__ == "__main__":
    command_line.run(main, __doc__)

"""Measures what fine-tuning gains and costs, compared with `fit` of Keras on the same layers.

    bazel run //tests/benchmarks:fine_tuning -- --image_dir=DIR --image_dir=ANOTHER

By default, DIR is the folder `signs` in the folder that RETRAIN_DATA names. All runs have the same
split and an empty cache. The program prints errors on the validation and test splits, the cross
entropy, minutes, and seconds of processor time: those of the whole run, and those from the first
epoch to the last, including decoding and distortion. They hardly depend on what else the machine
does.
"""

import functools
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from absl import flags

from retrain.config import SplitOptions
from retrain.data.dataset import scan_dataset
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from tests.benchmarks import timed_process
from tests.benchmarks.timed_process import TimedRun

_IMAGE_DIR = flags.DEFINE_multi_string(
    "image_dir", [], "Folder with a sub-folder of images for each class. Can be repeated."
)
_SEEDS = flags.DEFINE_integer(
    "seeds", 1, "Number of seeds to repeat fine-tuning with.", lower_bound=1
)
_EPOCHS = flags.DEFINE_list("epochs", ["auto"], "Values of --fine_tune_epochs to compare.")
_LAYERS = flags.DEFINE_list("layers", ["auto"], "Values of --fine_tune_layers to compare.")
_KERAS = flags.DEFINE_bool("keras", True, "Whether to compare with `fit` of Keras.")


_SPLITS = (TRAINING, VALIDATION, TEST)


class _Row(NamedTuple):
    """What a run printed.

    Attributes:
        accuracies: Accuracy on the validation and test splits, 0 to 1.
        details: Other results as text.
        epochs_seconds: Processor time of all epochs; None without fine-tuning.
    """

    accuracies: tuple[float, float]
    details: str
    epochs_seconds: float | None


def main(_: list[str]) -> None:
    """Prints a table for each folder of images, one row after each run."""
    data = os.environ.get("RETRAIN_DATA")
    folders = [user_path(name) for name in _IMAGE_DIR.value]
    if not (folders or data):
        raise UserError("--image_dir is required: a folder with a sub-folder of images per class")
    for images in folders or [Path(str(data), "signs")]:
        with tempfile.TemporaryDirectory() as name:
            counts = _split(images, Path(name))
            print(f"{images}: {', '.join(f'{count} {split}' for split, count in counts.items())}")
            print(f"{'':34}  errors                cross entropy  minutes  CPU seconds, of epochs")
            _measure_all(Path(name), counts)


def _split(images: Path, folder: Path) -> dict[str, int]:
    """Links the images into a folder for each split, and returns the number of images in each."""
    dataset = scan_dataset(images, SplitOptions())
    for split in _SPLITS:
        for number, image in enumerate(dataset.split(split)):
            link = folder / split / dataset.folders[image.class_id] / f"{number}-{image.path.name}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(image.path)
    return {split: len(dataset.split(split)) for split in _SPLITS}


def _measure_all(folder: Path, counts: dict[str, int]) -> None:
    def measure(name: str, run: Callable[[], tuple[_Row, TimedRun]]) -> None:
        before = os.times()
        row, timed = run()
        after = os.times()
        processor = sum(after[2:4]) - sum(before[2:4])
        errors = ", ".join(
            f"{round((1 - accuracy) * counts[split])} of {counts[split]}"
            for split, accuracy in zip(_SPLITS[1:], row.accuracies, strict=True)
        )
        epochs = "" if row.epochs_seconds is None else f"{row.epochs_seconds:9.0f}"
        print(
            f"{name:34}  {errors:20}  {row.details:>13}  {timed.seconds / 60:7.1f}  "
            f"{processor:11.0f}  {epochs}",
            flush=True,
        )

    measure("last layer", lambda: _run_retrain(folder))
    for layers in _LAYERS.value:
        for epochs in _EPOCHS.value:
            for seed in range(_SEEDS.value):
                flag_values = (
                    f"--fine_tune_epochs={epochs}",
                    f"--fine_tune_layers={layers}",
                    f"--seed={seed}",
                )
                measure(
                    f"{epochs} epochs, layers {layers}, seed {seed}",
                    functools.partial(_run_retrain, folder, *flag_values),
                )
        if _KERAS.value:
            measure(f"Keras, layers {layers}", functools.partial(_run_keras, folder, layers))


def _run_retrain(folder: Path, *run_flags: str) -> tuple[_Row, TimedRun]:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "metrics.json")
        run = timed_process.run_retrain(
            folder / TRAINING,
            Path(name),
            f"--validation_dir={folder}/{VALIDATION}",
            f"--test_dir={folder}/{TEST}",
            f"--metrics_json={file}",
            "--summaries_dir=",
            *run_flags,
            program=_program("timed_fine_tuning"),
        )
        metrics = json.loads(file.read_text())
    accuracies = (metrics["validation"]["accuracy"], metrics["test"]["accuracy"])
    kept = "" if not run_flags or metrics["fine_tuning"]["kept"] else " (not kept)"
    printed = re.search(rf"{timed_process.CPU_SECONDS}(.*)", run.output)
    return (
        _Row(
            accuracies,
            f"{metrics['test']['cross_entropy']:.3f}{kept}",
            float(printed[1]) if printed else None,
        ),
        run,
    )


def _run_keras(folder: Path, layers: str) -> tuple[_Row, TimedRun]:
    program = _program("plain_fine_tuning")
    run = timed_process.run(program, f"--folder={folder}", f"--layers={layers}")
    result = json.loads(run.output.splitlines()[-1])
    accuracies = (result["validation"], result["test"])
    return _Row(accuracies, f"{result['epochs']} epochs", result["cpu_seconds"]), run


def _program(name: str) -> str:
    return str(Path(__file__).with_name(f"{name}.py"))


if __name__ == "__main__":
    command_line.run(main, __doc__)

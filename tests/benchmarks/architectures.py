"""Measures preparation, training and export to all formats for each architecture.

    bazel run //tests/benchmarks:architectures -- --only=mobilenet_v2,vgg16

The weights are random, so that nothing is downloaded. A row is printed for each architecture, with
the duration of a first run that writes all files, and of a second run that writes only the graph
and finds everything in the cache. A run fails if an exported file with full precision differs from
the trained classifier. Files with less precision can differ, since networks with random weights
amplify small differences.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image

from retrain.backbones.keras_architectures import ARCHITECTURES, NAMES
from retrain.system.program import command_line
from retrain.system.program.console import quiet_libraries
from tests.support import keras_weights_files

_ONLY = flags.DEFINE_list(
    "only",
    [*NAMES, "mobilenet_1.0_224", "mobilenet_0.50_160"],
    "Names of the architectures to measure.",
)
_IMAGES_PER_CLASS = 7
_IMAGE_SIZE = 160

# Prefixes of the flags of the second run.
_GRAPH_ONLY = ("--output", "--metrics", "--bottleneck")


def main(_: list[str]) -> int:
    """Prints a row for each architecture, and returns 1 if one of them failed."""
    failures = 0
    for name in _ONLY.value:
        with tempfile.TemporaryDirectory() as folder:
            result = _measure(name, Path(folder))
        failures += result is None
        print(f"{name:22} {result or 'FAILED'}", flush=True)
    return min(failures, 1)


def _measure(name: str, folder: Path) -> str | None:
    """Returns the measurements of an architecture as text, or None if a run failed."""
    from tensorflow import keras

    with quiet_libraries():
        model = keras_weights_files.build_model(name)
        weights = keras_weights_files.write_legacy_weights(folder / "weights.h5", model)
        keras.backend.clear_session()
    _draw_patches(folder / "images")
    outputs = {
        "--output_graph": "graph.pb",
        "--output_labels": "labels.txt",
        "--saved_model_dir": "saved",
        "--keras_file": "model.keras",
        "--tflite_file": "model.tflite",
        "--coreml_file": "model.mlpackage",
        "--metrics_json": "metrics.json",
        "--bottleneck_dir": "cache",
    }
    common = [
        *("retrain/main.py", f"--image_dir={folder}/images", f"--architecture={name}"),
        *(f"--weights={weights}", "--summaries_dir=", "--min_agreement=0"),
    ]
    all_files = [f"{flag}={folder}/{file}" for flag, file in outputs.items()]
    seconds = []
    for flags_of_run in (all_files, [flag for flag in all_files if flag.startswith(_GRAPH_ONLY)]):
        start = time.perf_counter()
        run = subprocess.run(
            [sys.executable, *common, *flags_of_run],
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
        )
        seconds.append(time.perf_counter() - start)
        if run.returncode:
            print(run.stderr, file=sys.stderr)
            return None
    accuracy = json.loads((folder / "metrics.json").read_text())["test"]["accuracy"]
    size = (folder / "model.tflite").stat().st_size / 1e6
    image_size = ARCHITECTURES[name].image_size
    return (
        f"{image_size:4} px  all files {seconds[0]:6.1f} s  again {seconds[1]:6.1f} s  "
        f"TFLite {size:6.1f} MB  accuracy {accuracy:.2f}"
    )


def _draw_patches(folder: Path) -> None:
    """Draws images like those whose statistics are in the batch normalisations of the networks.

    For other images, such as noise, rounding errors change the scores of an untrained network so
    much that no two programs agree.
    """
    rng = np.random.default_rng(0)
    rows = np.arange(_IMAGE_SIZE) * 5 // _IMAGE_SIZE
    for name, limit in {"dark": 120, "bright": 256}.items():
        (folder / name).mkdir(parents=True)
        for number in range(_IMAGES_PER_CLASS):
            patches = rng.integers(limit - 120, limit, (5, 5, 3), np.uint8)
            Image.fromarray(patches[rows][:, rows]).save(folder / name / f"{number}.png")


if __name__ == "__main__":
    command_line.run(main, __doc__)

"""Every architecture once: its network prepared, trained, and exported to every format.

    bazel run //tests/benchmarks:architectures -- --only=mobilenet_v2,vgg16

The weights are at random, so that nothing is downloaded. Retrain compares what the files answer
with what it trained, and fails where an exact one differs; those of less precision may, as such a
network makes much of small differences. Prints seconds of the first run, and of a second one for
the graph alone, with all in the cache.
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
from retrain.system import command_line
from retrain.system.console import quiet_libraries
from tests.support import keras_weights_files

_ONLY = flags.DEFINE_list(
    "only", [*NAMES, "mobilenet_1.0_224", "mobilenet_0.50_160"], "Names of architectures."
)
# Of each class.
_IMAGES = 7
_SIDE = 160

_ALWAYS = ("--output", "--metrics", "--bottleneck")


def main(_: list[str]) -> int:
    """Prints a row for each architecture, and returns 1 where one failed."""
    failed = 0
    for name in _ONLY.value:
        with tempfile.TemporaryDirectory() as folder:
            line = _row(name, Path(folder))
        failed += line is None
        print(f"{name:22} {line or 'FAILED'}", flush=True)
    return min(failed, 1)


def _row(name: str, folder: Path) -> str | None:
    from tensorflow import keras

    with quiet_libraries():
        model = keras_weights_files.build_model(name)
        weights = keras_weights_files.write_legacy_weights(folder / "weights.h5", model)
        keras.backend.clear_session()
    _draw_patches(folder / "pictures")
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
        *("retrain/main.py", f"--image_dir={folder}/pictures", f"--architecture={name}"),
        *(f"--weights={weights}", "--summaries_dir=", "--min_agreement=0"),
    ]
    written = [f"{flag}={folder}/{file}" for flag, file in outputs.items()]
    seconds = []
    for flags_of_run in (written, [flag for flag in written if flag.startswith(_ALWAYS)]):
        begin = time.perf_counter()
        run = subprocess.run(
            [sys.executable, *common, *flags_of_run],
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
        )
        seconds.append(time.perf_counter() - begin)
        if run.returncode:
            print(run.stderr, file=sys.stderr)
            return None
    accuracy = json.loads((folder / "metrics.json").read_text())["test"]["accuracy"]
    size = (folder / "model.tflite").stat().st_size / 1e6
    side = ARCHITECTURES[name].side
    return (
        f"{side:4} px  all files {seconds[0]:6.1f} s  again {seconds[1]:6.1f} s  "
        f"TFLite {size:6.1f} MB  accuracy {accuracy:.2f}"
    )


def _draw_patches(folder: Path) -> None:
    """Draws images of the kind that the statistics in the networks are of.

    On others, such as those of noise, a network that nobody trained makes half a score of the last
    digit of a pixel, and no two programs agree.
    """
    rng = np.random.default_rng(0)
    rows = np.arange(_SIDE) * 5 // _SIDE
    for class_id, most in {"dark": 120, "bright": 256}.items():
        (folder / class_id).mkdir(parents=True)
        for number in range(_IMAGES):
            patches = rng.integers(most - 120, most, (5, 5, 3), np.uint8)
            Image.fromarray(patches[rows][:, rows]).save(folder / class_id / f"{number}.png")


if __name__ == "__main__":
    command_line.run(main, __doc__)

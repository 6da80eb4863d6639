"""A run on very many small images: its time, and the memory that it takes.

bazel run //tests/benchmarks:many_images -- --images=50000
"""

import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image

from retrain.system import command_line

_IMAGES = flags.DEFINE_integer("images", 50_000, "How many.", lower_bound=100)
_CATEGORIES = 5


def main(_: list[str]) -> None:
    """Prints seconds and memory of a run with a cold and one with a warm cache."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _draw(folder / "images", _IMAGES.value)
        for cache in ("cold", "warm"):
            begun = time.monotonic()
            _train(folder)
            seconds = time.monotonic() - begun
            # Of the largest process so far; on Linux in KiB.
            mebibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(f"{cache} cache: {seconds:6.1f} s, at most {mebibytes:5.0f} MiB", flush=True)


def _draw(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for class_id in range(_CATEGORIES):
        (folder / str(class_id)).mkdir(parents=True)
    for number in range(count):
        class_id = number % _CATEGORIES
        pixels = rng.integers(0, 60, (32, 32, 3), np.uint8) + np.uint8(35 * class_id)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG")
        (folder / str(class_id) / f"{number}.jpg").write_bytes(file.getvalue())


def _train(folder: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "retrain/main.py", f"--image_dir={folder}/pictures"),
            *(f"--bottleneck_dir={folder}/cache", f"--output_graph={folder}/graph.pb"),
            *(f"--output_labels={folder}/labels.txt", f"--summaries_dir={folder}/logs"),
        ],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        check=True,
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    command_line.run(main, __doc__)

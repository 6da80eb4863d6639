"""Measures the time and memory of a run on many small images.

bazel run //tests/benchmarks:many_images -- --images=50000
"""

import io
import tempfile
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image

from retrain.system.program import command_line
from tests.benchmarks import peak_memory, timed_process

_IMAGES = flags.DEFINE_integer("images", 50_000, "Number of images.", lower_bound=100)
_CLASSES = 5


def main(_: list[str]) -> None:
    """Prints the seconds and the peak memory of a run with an empty and one with a full cache."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _draw(folder / "images", _IMAGES.value)
        for cache in ("empty", "full"):
            run = timed_process.run_retrain(folder / "images", folder)
            memory = peak_memory.of_child_processes() / 2**20
            print(f"{cache} cache: {run.seconds:6.1f} s, at most {memory:5.0f} MiB", flush=True)


def _draw(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for class_id in range(_CLASSES):
        (folder / str(class_id)).mkdir(parents=True)
    for number in range(count):
        class_id = number % _CLASSES
        pixels = rng.integers(0, 60, (32, 32, 3), np.uint8) + np.uint8(35 * class_id)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG")
        (folder / str(class_id) / f"{number}.jpg").write_bytes(file.getvalue())


if __name__ == "__main__":
    command_line.run(main, __doc__)

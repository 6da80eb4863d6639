"""Measures the memory of training and evaluating a head on bottlenecks in a file.

    bazel run //tests/benchmarks:larger_than_memory

Trains on synthetic bottlenecks in memory and in a file, and prints seconds, accuracy and the
largest memory that is not a copy of the file. The system can drop such copies at any time. Runs
on bottlenecks in a file may allocate only 2 GB.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from absl import flags

from retrain.runtimes.head import Head
from retrain.system.files import large_arrays
from retrain.system.program import command_line
from retrain.training import calibration
from retrain.training.evaluation import evaluate
from retrain.training.strength_selection import fit_with_selected_strength
from retrain.training.training_set import TrainingSet

_IMAGES = flags.DEFINE_list("images", ["100000", "300000", "1000000"], "Numbers of images.")
_WIDTH = flags.DEFINE_integer("width", 1280, "Number of features.", lower_bound=1)
_CLASSES = flags.DEFINE_integer("classes", 10, "Number of classes.", lower_bound=2)
_LIMIT_BYTES = 2 * 10**9
# Larger sets are only trained on in files.
_MAX_IN_MEMORY = 300_000
_ROWS_AT_A_TIME = 10_000
_CHILD = "--child"


def main(_: list[str]) -> None:
    """Prints a table."""
    print("| images | bottlenecks in | seconds | test accuracy | memory |")
    print("|---|---|---|---|---|")
    for count in map(int, _IMAGES.value):
        for place in ("memory", "a file") if count <= _MAX_IN_MEMORY else ("a file",):
            arguments = [count, _WIDTH.value, _CLASSES.value, place == "a file"]
            done = subprocess.run(
                [sys.executable, __file__, _CHILD, json.dumps(arguments)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            seconds, accuracy, memory = json.loads(done.stdout)
            print(
                f"| {count:,} | {place} | {seconds:.0f} | {100 * accuracy:.2f} % "
                f"| {memory / 1e9:.2f} GB |",
                flush=True,
            )


def _child(count: int, width: int, classes: int, in_file: bool) -> None:
    """Trains on `count` images, and prints seconds, accuracy and bytes as JSON."""
    if in_file:
        import resource

        large_arrays._MIN_FILE_BYTES = 0
        large_arrays._MAX_MEMORY_FRACTION = 0
        resource.setrlimit(resource.RLIMIT_DATA, (_LIMIT_BYTES, _LIMIT_BYTES))
    peak = _PeakMemory()
    with tempfile.TemporaryDirectory() as name:
        features, class_ids = _draw(count, width, classes, Path(name))
        tenth = count // 10
        start = time.monotonic()
        training = TrainingSet(features[2 * tenth :], class_ids[2 * tenth :], classes)
        selected = fit_with_selected_strength(training, (features[:tenth], class_ids[:tenth]))
        head: Head = calibration.calibrate(
            selected.head, selected.held_out_logits, selected.held_out_class_ids
        )
        rows = slice(tenth, 2 * tenth)
        result = evaluate(head.probabilities(features[rows]), class_ids[rows])
        print(json.dumps([time.monotonic() - start, result.accuracy, peak.stop()]))


def _draw(count: int, width: int, classes: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Draws overlapping classes: float16 [count, width] and int64 [count]."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(classes, width)).astype(np.float32) * (3 / width**0.5)
    class_ids = rng.integers(classes, size=count)
    features = large_arrays.create_array((count, width), np.float16, folder)
    for first in range(0, count, _ROWS_AT_A_TIME):
        rows = slice(first, first + _ROWS_AT_A_TIME)
        noise = rng.standard_normal((len(class_ids[rows]), width), np.float32)
        features[rows] = np.maximum(centres[class_ids[rows]] + noise, 0)
    return features, class_ids


class _PeakMemory:
    """Samples the memory of this process that is not a copy of files. Linux only."""

    def __init__(self) -> None:
        self._peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Returns the largest number of bytes."""
        self._ended.set()
        self._thread.join()
        return self._peak

    def _sample(self) -> None:
        while not self._ended.wait(0.02):
            for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    self._peak = max(self._peak, 1024 * int(line.split()[1]))


if __name__ == "__main__":
    if sys.argv[1:2] == [_CHILD]:
        _child(*json.loads(sys.argv[2]))
    else:
        command_line.run(main, __doc__)

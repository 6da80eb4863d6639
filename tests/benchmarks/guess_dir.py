"""Compares the speed of guess_dir with that of computing features.

    bazel run //tests/benchmarks:guess_dir -- --graph=FILE --image_dir=DIR --count=2000

`features` decodes the images and computes their features in float32, as for training. `classified`
runs the classifier and does nothing with the results. --count sets the number of images, which are
links to those in DIR; the peak memory should hardly depend on it. On a busy machine, compare the
processor time, not the images per second.
"""

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags

from label_image.classifier import Classifier
from retrain.backbones import efficientnet_lite0, engines
from retrain.data import pixels
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from retrain.system.threads import parallel_map
from tests.benchmarks import peak_memory
from tools.guess.options import Options
from tools.guess.sort_images import sort_images
from tools.image_folders.find_images import find_images
from tools.transfers import transfer

_GRAPH = flags.DEFINE_string("graph", "/tmp/output_graph.pb", "Classifier to use.")
_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with images, possibly in subfolders.", required=True
)
_COUNT = flags.DEFINE_integer("count", None, "Number of images. By default, all.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of measurements of each task.", lower_bound=1)


class _Seconds(NamedTuple):
    elapsed: float
    processor: float


def main(_: list[str]) -> None:
    """Prints the speed and the processor time of each task, and the peak memory."""
    with tempfile.TemporaryDirectory(prefix="guess_dir_benchmark-") as folder:
        source, copies, moved = (Path(folder, name) for name in ("source", "copies", "moved"))
        source.mkdir()
        count = _create_links(source)
        graph = user_path(_GRAPH.value)
        classifier = Classifier(graph)
        images = sorted(source.iterdir())
        copying = Options(source=source, target=copies)
        moving = Options(source=copies, target=moved, operation=transfer.MOVE)
        tasks: dict[str, Callable[[], object]] = {
            "features": lambda: _compute_features(images),
            "classified": lambda: sum(1 for _ in classifier.classify(images)),
            "copied": lambda: sort_images(copying, graph, classifier),
            "moved": lambda: sort_images(moving, graph, classifier),
        }
        measurements: dict[str, list[_Seconds]] = defaultdict(list)
        for _round in range(_ROUNDS.value):
            for name, task in tasks.items():
                measurements[name].append(_measure(task))
            for path in moved.iterdir():
                path.unlink()
    for name, seconds in measurements.items():
        _print_row(name, count, seconds)
    print(f"peak memory {peak_memory.of_this_process() / 2**20:.0f} MB")


def _create_links(source: Path) -> int:
    """Fills a folder with links to the images, repeatedly if necessary; returns their number."""
    folder = user_path(_IMAGE_DIR.value)
    images = [folder / name for name in find_images(folder, recursive=True, exclude=source)]
    count = _COUNT.value or len(images)
    for number in range(count):
        image = images[number % len(images)]
        (source / f"{number:07}{image.suffix}").symlink_to(image)
    return count


def _compute_features(images: Sequence[Path]) -> None:
    backbone = efficientnet_lite0.load()
    runtime = engines.create(engines.FLOAT32, backbone).load()

    def features(image: Path) -> np.ndarray:
        decoded = pixels.decode(image.read_bytes(), backbone.height, backbone.width)
        return runtime.run(decoded[np.newaxis])

    for _ in parallel_map(features, images, runtime.workers):
        pass


def _measure(task: Callable[[], object]) -> _Seconds:
    elapsed, processor = time.monotonic(), time.process_time()
    task()
    return _Seconds(time.monotonic() - elapsed, time.process_time() - processor)


def _print_row(name: str, count: int, seconds: Sequence[_Seconds]) -> None:
    elapsed = statistics.median(each.elapsed for each in seconds)
    processor = statistics.median(each.processor for each in seconds)
    milliseconds = 1000 * processor / count
    print(f"{name:10} {count / elapsed:6.0f} images/s  {milliseconds:6.2f} ms processor time/image")


if __name__ == "__main__":
    command_line.run(main, __doc__)

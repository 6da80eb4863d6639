"""guess_dir against the features that it needs, in one run.

    bazel run //tests/benchmarks:guess_dir -- --graph=FILE --image_dir=DIR --count=2000

Features are images decoded and computed in float32, as for training, with nothing done to them.
`classified` is the classifier alone. With --count there are as many links to the images; memory
should hardly depend on it. Compare the seconds of processors where the machine has other work.
"""

import dataclasses
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from absl import flags

from label_image.classifier import Classifier
from retrain.backbones import engines, registry
from retrain.data import pixels
from retrain.system import command_line
from retrain.system.files import user_path
from retrain.system.threads import parallel_map
from tools.guess import guessing, placing
from tools.guess.find_images import LeftOut, find
from tools.guess.options import Options

_GRAPH = flags.DEFINE_string("graph", "/tmp/output_graph.pb", "The classifier.")
_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with images, also in folders.", required=True
)
_COUNT = flags.DEFINE_integer("count", None, "How many images; by default all.", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "How often to measure each.", 1)


@dataclasses.dataclass(frozen=True)
class _Spent:
    wall: float
    processor: float


def main(_: list[str]) -> None:
    """Prints images a second, seconds of processors and memory."""
    with tempfile.TemporaryDirectory(prefix="guess_dir_benchmark-") as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.mkdir()
        count = _link(source)
        graph = user_path(_GRAPH.value)
        classifier = Classifier(graph)
        images = sorted(source.iterdir())
        copying = Options(source, target)
        moving = Options(target, Path(folder, "moved"), how=placing.MOVE)
        steps: dict[str, Callable[[], object]] = {
            "features": lambda: _compute_features(images),
            "classified": lambda: sum(1 for _ in classifier.classify(images)),
            "copied": lambda: guessing.guess(copying, graph, classifier),
            "moved": lambda: guessing.guess(moving, graph, classifier),
        }
        spent: dict[str, list[_Spent]] = defaultdict(list)
        for _round in range(_ROUNDS.value):
            for name, step in steps.items():
                spent[name].append(_measure(step))
            for path in moving.target.iterdir():
                path.unlink()
    for name, all_spent in spent.items():
        _print(name, count, all_spent)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"at most {megabytes:.0f} MB of memory")


def _link(source: Path) -> int:
    """Makes links to the images in a folder, to each as often as it takes; returns how many."""
    folder = user_path(_IMAGE_DIR.value)
    found = [folder / name for name in find(folder, True, source, LeftOut())]
    count = _COUNT.value or len(found)
    for number in range(count):
        image = found[number % len(found)]
        (source / f"{number:07}{image.suffix}").symlink_to(image)
    return count


def _compute_features(images: Sequence[Path]) -> None:
    backbone = registry.load(registry.DEFAULT)
    runner = engines.engine(engines.FLOAT32, backbone).load()

    def features(image: Path) -> np.ndarray:
        decoded = pixels.decode(image.read_bytes(), backbone.height, backbone.width)
        return runner.features(decoded[np.newaxis])

    for _ in parallel_map(features, images, runner.workers):
        pass


def _measure(step: Callable[[], object]) -> _Spent:
    wall, processor = time.monotonic(), time.process_time()
    step()
    return _Spent(time.monotonic() - wall, time.process_time() - processor)


def _print(name: str, count: int, all_spent: Sequence[_Spent]) -> None:
    wall = statistics.median(spent.wall for spent in all_spent)
    processor = statistics.median(spent.processor for spent in all_spent)
    milliseconds = 1000 * processor / count
    print(f"{name:10} {count / wall:6.0f} images/s  {milliseconds:6.2f} ms of a processor for each")


if __name__ == "__main__":
    command_line.run(main, __doc__)

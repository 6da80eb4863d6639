"""Test accuracy with the features of one engine learned from, and those of another tested.

    bazel run //tests/benchmarks:engines -- --image_dir=DIR --image_dir=ANOTHER

It says which engines lose nothing, and which features must not be mixed. Every image is in a
random tenth for testing, another for validation, or in the rest, over several such splits.
"""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from absl import flags

from retrain.backbones import engines, registry
from retrain.bottlenecks.compute import Part, compute_bottlenecks
from retrain.config import SplitOptions
from retrain.data.dataset import scan_dataset
from retrain.data.splits import TRAINING
from retrain.system import command_line
from retrain.system.files import user_path
from retrain.training import logistic_regression

_IMAGE_DIR = flags.DEFINE_multi_string("image_dir", [], "Folder with sub-folders of images.")
_SEEDS = flags.DEFINE_integer("seeds", 5, "How many splits.", lower_bound=1)

_PAIRS = (
    (engines.FLOAT32, engines.FLOAT32),
    (engines.BFLOAT16, engines.FLOAT32),
    (engines.INT8, engines.INT8),
    (engines.INT8, engines.FLOAT32),
)


def main(_: list[str]) -> None:
    """Prints the mean test accuracy for each set and pair of engines."""
    for name in _IMAGE_DIR.value:
        features = _features(user_path(name))
        print(f"{name} ({len(features[engines.FLOAT32].images)} images)")
        for learned, tested in _PAIRS:
            found = [
                _accuracy(features[learned], features[tested], seed) for seed in range(_SEEDS.value)
            ]
            print(f"  {learned:9} -> {tested:9} {100 * float(np.mean(found)):.2f}%", flush=True)


def _features(folder: Path) -> dict[str, Part]:
    """Returns all images by each engine, whatever part they are in."""
    dataset = scan_dataset(folder, SplitOptions())
    images = tuple(dataclasses.replace(p, split=TRAINING) for p in dataset.images)
    everything = dataclasses.replace(dataset, images=images)
    with tempfile.TemporaryDirectory() as cache:
        backbone = registry.load(registry.DEFAULT)
        return {
            name: compute_bottlenecks(everything, backbone, name, Path(cache)).part(TRAINING)
            for name in (engines.FLOAT32, engines.BFLOAT16, engines.INT8)
        }


def _accuracy(learned: Part, tested: Part, seed: int) -> float:
    count = len(learned.images)
    order = np.random.default_rng(seed).permutation(count)
    test, validation, training = np.split(order, [count // 10, count // 5])
    head = logistic_regression.train(
        (learned.vectors[training], learned.class_ids[training]),
        (learned.vectors[validation], learned.class_ids[validation]),
        int(learned.class_ids.max()) + 1,
        seed=seed,
    ).head
    answers = head.logits(tested.vectors[test]).argmax(axis=1)
    return float((answers == tested.class_ids[test]).mean())


if __name__ == "__main__":
    command_line.run(main, __doc__ or "")

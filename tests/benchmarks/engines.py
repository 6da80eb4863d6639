"""Measures the test accuracy of heads trained on the features of one engine and tested on others.

    bazel run //tests/benchmarks:engines -- --image_dir=DIR --image_dir=ANOTHER

Prints the mean over several random splits. The result shows which engines lose no accuracy, and
which features must not be mixed.
"""

import tempfile
from pathlib import Path

import numpy as np
from absl import flags

from retrain.backbones import efficientnet_lite0, engines
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.bottlenecks.features import SplitFeatures
from retrain.data.splits import TRAINING
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from retrain.training.strength_selection import fit_with_selected_strength
from retrain.training.training_set import TrainingSet
from tests.benchmarks import random_splits

_IMAGE_DIR = flags.DEFINE_multi_string(
    "image_dir", [], "Folder with a sub-folder of images for each class. Can be repeated."
)
_SEEDS = flags.DEFINE_integer("seeds", 5, "Number of random splits.", lower_bound=1)

_PAIRS = (
    (engines.FLOAT32, engines.FLOAT32),
    (engines.BFLOAT16, engines.FLOAT32),
    (engines.INT8, engines.INT8),
    (engines.INT8, engines.FLOAT32),
)


def main(_: list[str]) -> None:
    """Prints the mean test accuracy for each folder and pair of engines."""
    for name in _IMAGE_DIR.value:
        features = _features(user_path(name))
        print(f"{name} ({len(features[engines.FLOAT32].images)} images)")
        for trained_on, tested_on in _PAIRS:
            accuracies = [
                _accuracy(features[trained_on], features[tested_on], seed)
                for seed in range(_SEEDS.value)
            ]
            mean = 100 * float(np.mean(accuracies))
            print(f"  {trained_on:9} -> {tested_on:9} {mean:.2f}%", flush=True)


def _features(folder: Path) -> dict[str, SplitFeatures]:
    """Returns the features of all images, keyed by the engine that computed them."""
    dataset = random_splits.scan_unsplit(folder)
    with tempfile.TemporaryDirectory() as cache:
        backbone = efficientnet_lite0.load()
        return {
            name: compute_bottlenecks(dataset, backbone, name, Path(cache)).split(TRAINING)
            for name in (engines.FLOAT32, engines.BFLOAT16, engines.INT8)
        }


def _accuracy(trained_on: SplitFeatures, tested_on: SplitFeatures, seed: int) -> float:
    rows = random_splits.split(len(trained_on.images), seed)
    training, validation = trained_on.take(rows.training), trained_on.take(rows.validation)
    test = tested_on.take(rows.test)
    class_count = int(trained_on.class_ids.max()) + 1
    head = fit_with_selected_strength(
        TrainingSet(
            training.vectors,
            training.class_ids,
            class_count,
            stage_widths=efficientnet_lite0.load().stage_widths,
        ),
        (validation.vectors, validation.class_ids),
        seed=seed,
    ).head
    return float((head.logits(test.vectors).argmax(axis=1) == test.class_ids).mean())


if __name__ == "__main__":
    command_line.run(main, __doc__)

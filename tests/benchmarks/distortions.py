"""Measures the test accuracy for several numbers of distorted variants per training image.

    bazel run //tests/benchmarks:distortions -- --image_dir=DIR --image_dir=ANOTHER

Prints the mean over several random splits. Only training images are distorted, by --random_crop=10
--random_scale=10 --random_brightness=10 --flip_left_right.
"""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from absl import flags

from retrain.backbones import efficientnet_lite0
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.bottlenecks.features import SplitFeatures
from retrain.data.splits import TRAINING
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from retrain.training.strength_selection import fit_with_selected_strength
from retrain.training.training_set import TrainingSet
from retrain.training_options import DistortionOptions
from tests.benchmarks import random_splits

_IMAGE_DIR = flags.DEFINE_multi_string(
    "image_dir", [], "Folder with a sub-folder of images for each class. Can be repeated."
)
_SEEDS = flags.DEFINE_integer("seeds", 5, "Number of random splits.", lower_bound=1)
_VARIANTS = flags.DEFINE_multi_integer(
    "distortions_per_image",
    [0, 1, 2, 4, 8, 16],
    "Number of distorted variants per training image. Can be repeated.",
)


def main(_: list[str]) -> None:
    """Prints the mean test accuracy for each folder and number of variants."""
    for name in _IMAGE_DIR.value:
        features = _features(user_path(name), max(_VARIANTS.value))
        print(f"{name} ({len(features.images)} images)")
        for variants in _VARIANTS.value:
            accuracies = [_accuracy(features, variants, seed) for seed in range(_SEEDS.value)]
            print(f"  {variants:2} variants {100 * float(np.mean(accuracies)):.2f}%", flush=True)


def _features(folder: Path, variants: int) -> SplitFeatures:
    """Returns the features of all images and of `variants` distorted variants of each."""
    with tempfile.TemporaryDirectory() as cache:
        return compute_bottlenecks(
            random_splits.scan_unsplit(folder),
            efficientnet_lite0.load(),
            "auto",
            Path(cache),
            distortions=DistortionOptions(
                random_crop=10,
                random_scale=10,
                random_brightness=10,
                flip_left_right=True,
                per_image=variants,
            ),
        ).split(TRAINING)


def _accuracy(features: SplitFeatures, variants: int, seed: int) -> float:
    test, validation, training = (
        features.take(rows) for rows in random_splits.split(len(features.images), seed)
    )
    training = dataclasses.replace(training, variants=training.variants[:, : variants + 1])
    class_count = int(features.class_ids.max()) + 1
    training_set = TrainingSet(
        *training.examples(),
        class_count,
        variants=variants + 1,
        stage_widths=efficientnet_lite0.load().stage_widths,
    )
    head = fit_with_selected_strength(training_set, (validation.vectors, validation.class_ids)).head
    return float((head.logits(test.vectors).argmax(axis=1) == test.class_ids).mean())


if __name__ == "__main__":
    command_line.run(main, __doc__)

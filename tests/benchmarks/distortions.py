"""Test accuracy with more and more distorted variants of each training image.

    bazel run //tests/benchmarks:distortions -- --image_dir=DIR --image_dir=ANOTHER

Every image is in a random tenth for testing, another for validation, or in the rest, over several
such splits; training images alone are distorted, by --random_crop=10 --random_scale=10
--random_brightness=10 --flip_left_right.
"""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from absl import flags

from retrain.backbones import registry
from retrain.bottlenecks.compute import Part, compute_bottlenecks
from retrain.config import DistortionOptions, SplitOptions
from retrain.data.dataset import scan_dataset
from retrain.data.splits import TRAINING
from retrain.system import command_line
from retrain.system.files import user_path
from retrain.training import logistic_regression

_IMAGE_DIR = flags.DEFINE_multi_string("image_dir", [], "Folder with sub-folders of images.")
_SEEDS = flags.DEFINE_integer("seeds", 5, "How many splits.", lower_bound=1)
_VARIANTS = flags.DEFINE_multi_integer(
    "distortions_per_image", [0, 1, 2, 4, 8, 16], "Numbers of variants to try."
)


def main(_: list[str]) -> None:
    """Prints the mean test accuracy for each set and number of variants."""
    for name in _IMAGE_DIR.value:
        everything = _features(user_path(name), max(_VARIANTS.value))
        print(f"{name} ({len(everything.images)} images)")
        for variants in _VARIANTS.value:
            found = [_accuracy(everything, variants, seed) for seed in range(_SEEDS.value)]
            print(f"  {variants:2} variants {100 * float(np.mean(found)):.2f}%", flush=True)


def _features(folder: Path, variants: int) -> Part:
    """Returns all images with their variants, whatever part they are in."""
    dataset = scan_dataset(folder, SplitOptions())
    images = tuple(dataclasses.replace(p, split=TRAINING) for p in dataset.images)
    options = DistortionOptions(10, 10, 10, flip_left_right=True, per_image=variants)
    with tempfile.TemporaryDirectory() as cache:
        return compute_bottlenecks(
            dataclasses.replace(dataset, images=images),
            registry.load(registry.DEFAULT),
            "auto",
            Path(cache),
            distortions=options,
        ).part(TRAINING)


def _accuracy(everything: Part, variants: int, seed: int) -> float:
    count = len(everything.images)
    order = np.random.default_rng(seed).permutation(count)
    test, validation, training = (
        everything.take(rows) for rows in np.split(order, [count // 10, count // 5])
    )
    training = dataclasses.replace(training, variants=training.variants[:, : variants + 1])
    fitted = logistic_regression.train(
        training.examples(),
        (validation.vectors, validation.class_ids),
        int(everything.class_ids.max()) + 1,
        variants=variants + 1,
    )
    return float((fitted.head.logits(test.vectors).argmax(axis=1) == test.class_ids).mean())


if __name__ == "__main__":
    command_line.run(main, __doc__ or "")

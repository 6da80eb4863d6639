"""Measures the calibration of heads with and without features of earlier stages.

    bazel run //tests/benchmarks:calibration -- --image_dir=DIR --image_dir=ANOTHER

Prints the accuracy, the expected calibration error and the cross entropy of repeated
cross-validation, in which each fold's head is selected and calibrated on the other folds only: with
the features of the last layer, and with those that cross-validation within these folds selects.
"""

import dataclasses

import numpy as np
from absl import flags

from retrain.backbones import efficientnet_lite0, engines
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.bottlenecks.features import Bottlenecks
from retrain.config import SplitOptions
from retrain.data.dataset import scan_dataset
from retrain.system.files.cache_folder import default_cache_folder
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from retrain.training.cross_validation import cross_validate
from retrain.training_options import HeadOptions

_IMAGE_DIR = flags.DEFINE_multi_string(
    "image_dir", [], "Folder with a sub-folder of images for each class. Can be repeated."
)
_SEEDS = flags.DEFINE_integer("seeds", 5, "Number of cross-validations.", lower_bound=1)
_FOLDS = flags.DEFINE_integer("folds", 5, "Number of folds.", lower_bound=2)
_BOTTLENECK_DIR = flags.DEFINE_string("bottleneck_dir", None, "Folder of the cache.")


def main(_: list[str]) -> None:
    """Prints two rows for each folder."""
    value = _BOTTLENECK_DIR.value
    cache = user_path(value) if value else default_cache_folder()
    backbone = efficientnet_lite0.load()
    for name in _IMAGE_DIR.value:
        dataset = scan_dataset(user_path(name), SplitOptions())
        complete = compute_bottlenecks(dataset, backbone, engines.AUTO, cache)
        last_layer = _first_features(complete, backbone.bottleneck_width)
        for features, stage_widths, description in (
            (last_layer, (), "last layer"),
            (complete, backbone.stage_widths, "selected"),
        ):
            columns = "  ".join(_measure(features, stage_widths))
            print(f"{name:30}  {description:10}  {columns}", flush=True)


def _first_features(bottlenecks: Bottlenecks, width: int) -> Bottlenecks:
    splits = {
        name: dataclasses.replace(split, variants=split.variants[..., :width])
        for name, split in bottlenecks.splits.items()
    }
    return dataclasses.replace(bottlenecks, splits=splits)


def _measure(features: Bottlenecks, stage_widths: tuple[int, ...]) -> list[str]:
    evaluations = [
        cross_validate(
            features, HeadOptions(seed=seed), _FOLDS.value, stage_widths=stage_widths
        ).evaluation
        for seed in range(_SEEDS.value)
    ]
    measured = [(e.accuracy, e.expected_calibration_error, e.cross_entropy) for e in evaluations]
    accuracy, error, loss = np.mean(np.array(measured, float), axis=0)
    return [
        f"accuracy {100 * accuracy:.2f} %",
        f"calibration error {100 * error:.2f} %",
        f"cross entropy {loss:.4f}",
    ]


if __name__ == "__main__":
    command_line.run(main, __doc__)

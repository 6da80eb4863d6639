"""Compares estimates of what twice as many images would bring with what they brought.

    bazel run //tests/benchmarks:learning_curve -- --image_dir=DIR --image_dir=ANOTHER

Each folder has a sub-folder of images for each class. The estimate is made from the points with at
most half of the images, and compared with the accuracy that all images reached.
"""

import tempfile
from pathlib import Path

from absl import flags

from retrain.backbones import registry
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.config import BackboneOptions, TrainingConfig
from retrain.data.dataset import scan_dataset
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from retrain.training.cross_validation import cross_validate
from retrain.training.head_training import train_head
from retrain.training.learning_curve import summarise
from retrain.training.learning_curve_measurement import measure_points

_FOLDS = 5

_IMAGE_DIRS = flags.DEFINE_multi_string(
    "image_dir", [], "Folder with a sub-folder of images for each class. Can be repeated."
)


def main(_: list[str]) -> None:
    """Prints a row of a table for each folder of images."""
    print("| images | estimate from half of them | all of them |\n|---|---|---|")
    for folder in _IMAGE_DIRS.value:
        with tempfile.TemporaryDirectory() as cache:
            print(_row(user_path(folder), Path(cache)), flush=True)


def _row(folder: Path, cache: Path) -> str:
    config = TrainingConfig(folder, bottleneck_dir=cache)
    backbone = registry.resolve(BackboneOptions(), cache)
    dataset = scan_dataset(folder, config.split)
    features = compute_bottlenecks(dataset, backbone, config.engine, cache)
    trained = train_head(config, backbone, features)
    strength = trained.history.selected
    assert strength is not None
    out_of_fold = cross_validate(features, config.head, _FOLDS, stage_widths=backbone.stage_widths)
    measured = measure_points(
        features,
        config.head,
        out_of_fold,
        strength=strength,
        stage_widths=backbone.stage_widths,
        uses_stages=bool(trained.head.weights[backbone.bottleneck_width :].any()),
    )
    half, complete = measured.right[-2:].mean(axis=1)
    first = measured._replace(sizes=measured.sizes[:-1], right=measured.right[:-1])
    estimate = summarise(first, seed=config.head.seed).doubled
    text = "too few mistakes"
    if estimate:
        text = "{:+.1f} points ({:.1f} to {:.1f})".format(*(100 * value for value in estimate))
    return f"| {len(dataset.images):,} {folder.name} | {text} | {100 * (complete - half):+.1f} |"


if __name__ == "__main__":
    command_line.run(main, __doc__)

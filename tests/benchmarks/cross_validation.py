"""Measures how often the interval of a cross-validation contains the true accuracy.

    bazel run //tests/benchmarks:cross_validation -- --image_dir=DIR --images=200

Random parts of a large set stand for small data sets. The images that are not in a part tell the
true accuracy of heads that are trained on it.
"""

import tempfile
from pathlib import Path

import numpy as np
from absl import flags

from retrain.backbones import efficientnet_lite0, engines
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.config import DEFAULT_FOLDS
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from retrain.training.accuracy_interval import wilson_interval
from retrain.training.cross_validation import cross_validate
from retrain.training.fold_head import fit_head
from retrain.training.folded_images import fold_images
from retrain.training_options import HeadOptions
from tests.benchmarks import random_splits

_IMAGE_DIR = flags.DEFINE_multi_string(
    "image_dir", [], "Folder with a sub-folder of images for each class."
)
_IMAGES = flags.DEFINE_integer("images", 200, "Number of images of each small data set.")
_RUNS = flags.DEFINE_integer("runs", 40, "Number of small data sets.")


def main(_: list[str]) -> None:
    """Runs the benchmark."""
    for typed in _IMAGE_DIR.value:
        with tempfile.TemporaryDirectory() as cache:
            dataset = random_splits.scan_unsplit(user_path(typed))
            features = compute_bottlenecks(
                dataset, efficientnet_lite0.load(), engines.FLOAT32, Path(cache)
            )
        _measure(typed, features)


def _measure(name: str, features: Bottlenecks) -> None:
    images = features.split(TRAINING)
    rows = []
    for seed in range(_RUNS.value):
        order = np.random.default_rng(seed).permutation(len(images.images))
        part, rest = (
            images.take(np.sort(own)) for own in (order[: _IMAGES.value], order[_IMAGES.value :])
        )
        rows.append(_measure_one(features, part, rest))
        print(f"  {len(rows)} of {_RUNS.value}", end="\r", flush=True)
    estimates, truths, intervals, uncorrected = (
        np.array(values) for values in zip(*rows, strict=True)
    )
    print(
        f"{name}, {_RUNS.value} sets of {_IMAGES.value} images: mean estimate "
        f"{100 * estimates.mean():.1f} %, true {100 * truths.mean():.1f} %"
    )
    for text, ends in (("corrected", intervals), ("for independent images", uncorrected)):
        is_inside = (ends[:, 0] <= truths) & (truths <= ends[:, 1])
        print(
            f"  interval {text}: {100 * is_inside.mean():.1f} % contain the true accuracy; mean "
            f"width {100 * np.ptp(ends, axis=1).mean():.1f} points",
            flush=True,
        )


def _measure_one(
    features: Bottlenecks, part: SplitFeatures, rest: SplitFeatures
) -> tuple[float, float, tuple[float, float], tuple[float, float]]:
    """Returns the estimate, the true accuracy of the folds' heads, and two intervals."""
    nothing = part.take(np.zeros(0, np.int64))
    small = Bottlenecks(
        features.dataset,
        features.engine,
        {TRAINING: part, VALIDATION: nothing, TEST: nothing},
        0,
        {},
    )
    options, widths = HeadOptions(), efficientnet_lite0.load().stage_widths
    evaluation = cross_validate(small, options, DEFAULT_FOLDS, stage_widths=widths).evaluation
    folded = fold_images(small, DEFAULT_FOLDS, stage_widths=widths, seed=options.seed)
    truths = []
    for is_training in folded.training_masks():
        head = fit_head(folded.training_set.select_images(is_training), options)
        truths.append((head.logits(rest.vectors).argmax(axis=1) == rest.class_ids).mean())
    assert evaluation.accuracy is not None and evaluation.interval is not None
    return (
        evaluation.accuracy,
        float(np.mean(truths)),
        evaluation.interval,
        wilson_interval(evaluation.accuracy, evaluation.count),
    )


if __name__ == "__main__":
    command_line.run(main, __doc__)

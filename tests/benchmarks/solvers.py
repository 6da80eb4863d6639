"""Measures the test accuracy of each solver of the last layer.

    bazel run //tests/benchmarks:solvers -- --image_dir=DIR --image_dir=ANOTHER

Prints the mean over several random splits. The oracle is a logistic regression whose strength is
chosen on the test images: an upper bound that a fair choice can hardly exceed.
"""

import tempfile
from pathlib import Path

import numpy as np
from absl import flags

from retrain.backbones import efficientnet_lite0
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.config import SplitOptions
from retrain.data.dataset import scan_dataset
from retrain.runtimes.head import Head
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from retrain.training import sgd
from retrain.training.logistic_regression import fit_path
from retrain.training.strength_selection import fit_with_selected_strength
from retrain.training.training_set import TrainingSet
from retrain.training_options import HeadOptions
from tests.benchmarks import random_splits

_IMAGE_DIR = flags.DEFINE_multi_string(
    "image_dir", [], "Folder with a sub-folder of images for each class. Can be repeated."
)
_SEEDS = flags.DEFINE_integer("seeds", 5, "Number of random splits.", lower_bound=1)

_Examples = tuple[np.ndarray, np.ndarray]


def main(_: list[str]) -> None:
    """Prints the mean test accuracy of each solver for each folder."""
    for name in _IMAGE_DIR.value:
        examples = _features(user_path(name))
        results: dict[str, list[float]] = {}
        for seed in range(_SEEDS.value):
            for solver, accuracy in _accuracies(examples, seed).items():
                results.setdefault(solver, []).append(accuracy)
        means = ", ".join(f"{s} {100 * float(np.mean(r)):.2f}%" for s, r in results.items())
        print(f"{name} ({len(examples[1])} images): {means}", flush=True)


def _features(folder: Path) -> _Examples:
    dataset = scan_dataset(folder, SplitOptions())
    with tempfile.TemporaryDirectory() as cache:
        backbone = efficientnet_lite0.load()
        bottlenecks = compute_bottlenecks(dataset, backbone, "float32", Path(cache))
    splits = bottlenecks.splits.values()
    features = np.concatenate([split.vectors for split in splits]).astype(np.float32)
    return features, np.concatenate([split.class_ids for split in splits])


def _accuracies(examples: _Examples, seed: int) -> dict[str, float]:
    features, class_ids = examples
    test, validation, training = (
        (features[rows], class_ids[rows]) for rows in random_splits.split(len(class_ids), seed)
    )
    class_count = int(class_ids.max()) + 1
    options = HeadOptions(seed=seed)
    mean, stddev = training[0].mean(axis=0), training[0].std(axis=0) + 1e-6
    standardised = [((f - mean) / stddev, c) for f, c in (training, validation, test)]
    stage_widths = efficientnet_lite0.load().stage_widths
    training_set = TrainingSet(*training, class_count, stage_widths=stage_widths)
    last_layer = [(f[:, : -sum(stage_widths)], c) for f, c in (training, validation, test)]
    return {
        "sgd": _accuracy(
            sgd.train(last_layer[0], last_layer[1], class_count, options), last_layer[2]
        ),
        "sgd on standardised features": _accuracy(
            sgd.train(standardised[0], standardised[1], class_count, options), standardised[2]
        ),
        "logistic regression": _accuracy(
            fit_with_selected_strength(training_set, validation, seed=seed).head, test
        ),
        "oracle": max(_accuracy(head, test) for head in fit_path(training_set)),
    }


def _accuracy(head: Head, examples: _Examples) -> float:
    return float((head.logits(examples[0]).argmax(axis=1) == examples[1]).mean())


if __name__ == "__main__":
    command_line.run(main, __doc__)

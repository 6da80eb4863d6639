"""Test accuracy of the ways to train the last layer, over several random splits.

    bazel run //tests/benchmarks:solvers -- --image_dir=DIR --image_dir=ANOTHER

The oracle is logistic regression whose strength was picked on the test part itself: what no honest
choice can beat by much.
"""

import tempfile
from pathlib import Path

import numpy as np
from absl import flags

from retrain.backbones import registry
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.config import HeadOptions, SplitOptions
from retrain.data.dataset import scan_dataset
from retrain.runtimes.head import Head
from retrain.system import command_line
from retrain.system.files import user_path
from retrain.training import logistic_regression, sgd
from retrain.training.sgd import Examples

_IMAGE_DIR = flags.DEFINE_multi_string("image_dir", [], "Folder with sub-folders of images.")
_SEEDS = flags.DEFINE_integer("seeds", 5, "How many splits.", lower_bound=1)


def main(_: list[str]) -> None:
    """Prints the mean test accuracy of each solver on each set."""
    for name in _IMAGE_DIR.value:
        examples = _features(user_path(name))
        results: dict[str, list[float]] = {}
        for seed in range(_SEEDS.value):
            for solver, accuracy in _accuracies(examples, seed).items():
                results.setdefault(solver, []).append(accuracy)
        means = ", ".join(f"{s} {100 * float(np.mean(r)):.2f}%" for s, r in results.items())
        print(f"{name} ({len(examples[1])} images): {means}", flush=True)


def _features(folder: Path) -> Examples:
    dataset = scan_dataset(folder, SplitOptions())
    with tempfile.TemporaryDirectory() as cache:
        backbone = registry.load(registry.DEFAULT)
        result = compute_bottlenecks(dataset, backbone, "float32", Path(cache))
    parts = result.parts.values()
    vectors = np.concatenate([part.vectors for part in parts]).astype(np.float32)
    return vectors, np.concatenate([part.class_ids for part in parts])


def _accuracies(examples: Examples, seed: int) -> dict[str, float]:
    vectors, class_ids = examples
    order = np.random.default_rng(seed).permutation(len(class_ids))
    test, validation, training = (
        (vectors[rows], class_ids[rows])
        for rows in np.split(order, [len(order) // 10, len(order) // 5])
    )
    classes = int(class_ids.max()) + 1
    options = HeadOptions(seed=seed)
    descended = sgd.train(training, validation, classes, options)
    mean, stddev = training[0].mean(axis=0), training[0].std(axis=0) + 1e-6
    standardised = [((f - mean) / stddev, c) for f, c in (training, validation, test)]
    scaled = sgd.train(standardised[0], standardised[1], classes, options)
    regression = logistic_regression.train(training, validation, classes, seed=seed).head
    path = logistic_regression.path(training, classes)
    return {
        "sgd": _accuracy(descended, test),
        "sgd on standardised features": _accuracy(scaled, standardised[2]),
        "logistic regression": _accuracy(regression, test),
        "oracle": max(_accuracy(candidate, test) for _, candidate in path),
    }


def _accuracy(trained: Head, examples: Examples) -> float:
    return float((trained.logits(examples[0]).argmax(axis=1) == examples[1]).mean())


if __name__ == "__main__":
    command_line.run(main, __doc__ or "")

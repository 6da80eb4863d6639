"""Measures the accuracy of heads that are trained on 5 to 20 images of each class.

    bazel run //tests/benchmarks:tiny_sets -- --image_dir=DIR --image_dir=ANOTHER

Draws the images at random from the training split, and measures the accuracy on the others of this
split. Prints the mean and the worst accuracy of the head that `//retrain` trains, of the same head
without features of earlier stages, and of a head that selects the class with the nearest mean of
the features of the last layer.
"""

import numpy as np
from absl import flags

from retrain.backbones import efficientnet_lite0, engines
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.config import SplitOptions
from retrain.data.dataset import scan_dataset
from retrain.data.splits import TRAINING
from retrain.system.files.cache_folder import default_cache_folder
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from retrain.training.fold_head import fit_head
from retrain.training.training_set import TrainingSet
from retrain.training_options import HeadOptions

_IMAGE_DIR = flags.DEFINE_multi_string(
    "image_dir", [], "Folder with a sub-folder of images for each class. Can be repeated."
)
_SIZES = flags.DEFINE_list("sizes", ["5", "10", "20"], "Numbers of images of each class.")
_DRAWS = flags.DEFINE_integer("draws", 20, "Number of random draws.", lower_bound=1)
_BOTTLENECK_DIR = flags.DEFINE_string("bottleneck_dir", None, "Folder of the cache.")


def main(_: list[str]) -> None:
    """Prints a row for each folder and number of images."""
    for name in _IMAGE_DIR.value:
        training = _load(name)
        for size in map(int, _SIZES.value):
            results: dict[str, list[float]] = {}
            for seed in range(_DRAWS.value):
                for head, accuracy in _accuracies(training, size, seed).items():
                    results.setdefault(head, []).append(100 * accuracy)
            columns = [f"{h} {np.mean(r):.2f} ({min(r):.2f})" for h, r in results.items()]
            print(f"{name}  {size:2} images per class:", "  ".join(columns), "%", flush=True)


def _load(name: str) -> TrainingSet:
    """Returns the training split of a folder."""
    value = _BOTTLENECK_DIR.value
    cache = user_path(value) if value else default_cache_folder()
    backbone = efficientnet_lite0.load()
    dataset = scan_dataset(user_path(name), SplitOptions())
    bottlenecks = compute_bottlenecks(dataset, backbone, engines.AUTO, cache)
    split = bottlenecks.split(TRAINING)
    return TrainingSet(
        split.vectors,
        split.class_ids,
        len(bottlenecks.dataset.labels),
        stage_widths=backbone.stage_widths,
    )


def _accuracies(training: TrainingSet, size: int, seed: int) -> dict[str, float]:
    """Returns the accuracy of each head that is trained on `size` images of each class."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros(len(training.class_ids), bool)
    for class_id in range(training.class_count):
        drawn[rng.permutation(np.flatnonzero(training.class_ids == class_id))[:size]] = True
    fitted_to, others = training.select_images(drawn), training.select_images(~drawn)
    options = HeadOptions(seed=seed)
    last_layer = fitted_to.without_stages()
    return {
        "selected": _accuracy(fit_head(fitted_to, options).logits(others.features), others),
        "last layer": _accuracy(
            fit_head(last_layer, options).logits(others.without_stages().features), others
        ),
        "nearest mean": _accuracy(_nearness(last_layer, others.without_stages()), others),
    }


def _nearness(training: TrainingSet, others: TrainingSet) -> np.ndarray:
    """Returns how near each image is to the mean of each class, float32 [N, classes]."""
    features = training.features.astype(np.float32)
    means = np.stack(
        [features[training.class_ids == c].mean(axis=0) for c in range(training.class_count)]
    )
    # The square of the distance, without the term that all classes have in common.
    return 2 * others.features.astype(np.float32) @ means.T - np.square(means).sum(axis=1)


def _accuracy(scores: np.ndarray, images: TrainingSet) -> float:
    return float((scores.argmax(axis=1) == images.class_ids).mean())


if __name__ == "__main__":
    command_line.run(main, __doc__)

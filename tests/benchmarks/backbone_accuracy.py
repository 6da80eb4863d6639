"""Measures accuracy, time and size for each of the pretrained networks that are named.

    bazel run //tests/benchmarks:backbone_accuracy -- --image_dir=DIR --image_dir=ANOTHER

Prints the mean test accuracy over several random splits, with the features of the last layer alone
and with those of earlier stages if cross-validation selects them. Also prints the milliseconds that
LiteRT takes for an image on one processor, and the size of the network as a TFLite file. Weights
that are not part of retrain are downloaded.
"""

import statistics
import time
from pathlib import Path

import numpy as np
from absl import flags

from retrain.backbones import engines, registry
from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.config import BackboneOptions, SplitOptions
from retrain.data.dataset import scan_dataset
from retrain.system.files.cache_folder import default_cache_folder
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from retrain.training.strength_selection import fit_with_selected_strength
from retrain.training.training_set import TrainingSet
from tests.benchmarks import random_splits

_IMAGE_DIR = flags.DEFINE_multi_string(
    "image_dir", [], "Folder with a sub-folder of images for each class. Can be repeated."
)
_NETWORKS = flags.DEFINE_list(
    "networks",
    ["efficientnet_lite0", "efficientnet_lite0:288", "efficientnet_lite1", "efficientnet_lite2"],
    "Names of architectures, with a colon and the size of the input images if it is not the one "
    "that the network was trained with.",
)
_SEEDS = flags.DEFINE_integer("seeds", 5, "Number of random splits.", lower_bound=1)
_BOTTLENECK_DIR = flags.DEFINE_string("bottleneck_dir", None, "Folder of the cache.")
_TIMED_RUNS = 50


def main(_: list[str]) -> None:
    """Prints a row for each network."""
    value = _BOTTLENECK_DIR.value
    cache = user_path(value) if value else default_cache_folder()
    for network in _NETWORKS.value:
        name, _colon, input_size = network.partition(":")
        options = BackboneOptions(name, input_size=int(input_size) if input_size else None)
        backbone = registry.resolve(options, cache)
        accuracies = [
            f"{Path(folder).name} {_accuracies(user_path(folder), backbone, cache)}"
            for folder in _IMAGE_DIR.value
        ]
        size_mb = len(backbone.read_tflite()) / 1e6
        print(
            f"{network:24}",
            *(
                f"{backbone.height:4} px",
                f"{_milliseconds(backbone):6.1f} ms",
                f"{size_mb:6.1f} MB",
            ),
            *accuracies,
            sep="  ",
            flush=True,
        )


def _accuracies(folder: Path, backbone: Backbone, cache: Path) -> str:
    """Returns the mean test accuracies over the random splits, without and with earlier stages."""
    dataset = scan_dataset(folder, SplitOptions())
    bottlenecks = compute_bottlenecks(dataset, backbone, engines.AUTO, cache)
    splits = bottlenecks.splits.values()
    features = np.concatenate([split.vectors for split in splits])
    class_ids = np.concatenate([split.class_ids for split in splits])
    class_count = int(class_ids.max()) + 1
    accuracies: dict[bool, list[float]] = {False: [], True: []}
    for seed in range(_SEEDS.value):
        test, validation, training = random_splits.split(len(class_ids), seed)
        training_set = TrainingSet(
            features[training],
            class_ids[training],
            class_count,
            stage_widths=backbone.stage_widths,
        )
        for with_stages, results in accuracies.items():
            fitted = training_set if with_stages else training_set.without_stages()
            visible = features[:, : fitted.features.shape[1]]
            held_out = visible[validation], class_ids[validation]
            head = fit_with_selected_strength(fitted, held_out, seed=seed).head
            labels = head.logits(visible[test]).argmax(axis=1)
            results.append(float((labels == class_ids[test]).mean()))
    last_layer, selected = (100 * statistics.mean(results) for results in accuracies.values())
    return f"{last_layer:.2f} % -> {selected:.2f} %"


def _milliseconds(backbone: Backbone) -> float:
    """Returns the median processor time for one image, which other programs hardly affect."""
    pixels = np.zeros((1, backbone.height, backbone.width, 3), np.uint8)
    durations = []
    with engines.create(engines.FLOAT32, backbone) as engine:
        runtime = engine.load()
        for _ in range(_TIMED_RUNS):
            start = time.thread_time()
            runtime.run(pixels)
            durations.append(time.thread_time() - start)
    return 1000 * statistics.median(durations)


if __name__ == "__main__":
    command_line.run(main, __doc__)

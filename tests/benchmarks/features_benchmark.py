"""Bottlenecks from files, against the plain Keras pipeline, in one run.

    bazel run //tests/benchmarks:features_benchmark -- --image_dir=DIR

Ours is `bottlenecks.compute` with an empty cache. The other is what a Keras user writes:
`image_dataset_from_directory` and `predict`, with the same network, once with layers of batch
normalisation as those of `keras.applications` have, once with them folded into the convolutions.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from absl import flags

from retrain import bottlenecks, command_line, images
from retrain.backbones import (
    convert_efficientnet_lite0,
    efficientnet_lite0_network,
    registry,
    torch_file,
)
from retrain.config import SplitOptions
from retrain.images import Dataset
from retrain.runtime import user_path

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with a sub-folder for each category.", required=True
)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "How often to measure each.", lower_bound=1)


def main(_: list[str]) -> None:
    """Prints pictures a second of both, and their ratio."""
    dataset = images.scan(user_path(_IMAGE_DIR.value), SplitOptions())
    network = _network()
    normalised = _with_batch_norm(network)
    approaches = {
        "retrain": lambda: _ours(dataset),
        "plain Keras": lambda: _plain(dataset, normalised),
        "plain Keras, folded": lambda: _plain(dataset, network),
    }
    rates: dict[str, list[float]] = {name: [] for name in approaches}
    for _round in range(_ROUNDS.value):
        for name, compute in approaches.items():
            rates[name].append(_rate(dataset, compute))
    ours = statistics.median(rates["retrain"])
    for name, values in rates.items():
        median = statistics.median(values)
        print(f"{name:20} {median:6.0f} pictures/s   retrain is {ours / median:.2f} times as fast")


def _network() -> Any:
    tensors = torch_file.read_tensors(convert_efficientnet_lite0.weights_file())
    return efficientnet_lite0_network.build(tensors)[0]


def _with_batch_norm(network: Any) -> Any:
    """Returns the network as it was published, a normalisation after every convolution."""
    from tensorflow import keras

    def unfold(layer: Any) -> Any:
        if not isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            return layer.__class__.from_config(layer.get_config())
        config = {**layer.get_config(), "use_bias": False, "activation": None}
        layers = [layer.__class__.from_config(config), keras.layers.BatchNormalization()]
        if layer.get_config()["activation"] == "relu6":
            layers.append(keras.layers.ReLU(6.0))
        return keras.Sequential(layers, name=layer.name)

    return keras.models.clone_model(network, clone_function=unfold)


def _rate(dataset: Dataset, compute: Any) -> float:
    begun = time.monotonic()
    compute()
    return len(dataset.pictures) / (time.monotonic() - begun)


def _ours(dataset: Dataset) -> None:
    with tempfile.TemporaryDirectory() as cache:
        backbone = registry.load(registry.DEFAULT)
        bottlenecks.compute(dataset, backbone, "float32", Path(cache))


def _plain(dataset: Dataset, network: Any) -> None:
    import tensorflow as tf

    pictures = tf.keras.utils.image_dataset_from_directory(
        dataset.image_dir,
        labels=None,
        batch_size=32,
        image_size=(efficientnet_lite0_network.HEIGHT, efficientnet_lite0_network.WIDTH),
        shuffle=False,
        verbose=False,
    )
    normalised = pictures.map(lambda pixels: (pixels - 127.0) / 128.0, tf.data.AUTOTUNE)
    network.predict(normalised.prefetch(tf.data.AUTOTUNE), verbose=0)


if __name__ == "__main__":
    command_line.run(main, __doc__)

"""Bottlenecks from files, against the plain Keras pipeline, in one run.

    bazel run //tests/benchmarks:features -- --image_dir=DIR

Ours is `bottlenecks.compute` with an empty cache, for each engine; int8 includes its calibration.
The other is what a Keras user writes: `image_dataset_from_directory` and `predict`, with the same
network, once with layers of batch normalisation as those of `keras.applications` have, once with
them folded into the convolutions. The images are photos of 500 x 375 pixels, cut at random from
the large ones in DIR.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

from retrain.backbones import (
    convert_efficientnet_lite0,
    efficientnet_lite0_network,
    engines,
    registry,
    torch_file,
)
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.config import SplitOptions
from retrain.data.dataset import Dataset, scan_dataset
from retrain.errors import UserError
from retrain.system import command_line
from retrain.system.files import user_path

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with a sub-folder for each class.", required=True
)
_IMAGES = flags.DEFINE_integer(
    "images", 1000, "Photos to cut; 0 takes the images as they are.", lower_bound=0
)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "How often to measure each.", lower_bound=1)

_WIDTH, _HEIGHT = 500, 375


def main(_: list[str]) -> None:
    """Prints images a second of each, and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        source = scan_dataset(user_path(_IMAGE_DIR.value), SplitOptions())
        if _IMAGES.value:
            _cut(source, Path(folder), _IMAGES.value)
            source = scan_dataset(Path(folder), SplitOptions())
        _measure(source)


def _measure(dataset: Dataset) -> None:
    network = _network()
    normalised = _with_batch_norm(network)
    approaches: dict[str, Callable[[], None]] = {
        "plain Keras": lambda: _plain(dataset, normalised),
        "plain Keras, folded": lambda: _plain(dataset, network),
        "retrain, float32": lambda: _ours(dataset, engines.FLOAT32),
        "retrain, int8": lambda: _ours(dataset, engines.INT8),
    }
    default = engines.chosen(engines.AUTO)
    if default != engines.FLOAT32:
        approaches[f"retrain, {default}"] = lambda: _ours(dataset, default)
    rates: dict[str, list[float]] = {name: [] for name in approaches}
    for _round in range(_ROUNDS.value):
        for name, compute in approaches.items():
            begun = time.monotonic()
            compute()
            rates[name].append(len(dataset.images) / (time.monotonic() - begun))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, median in medians.items():
        times = [median / medians[plain] for plain in ("plain Keras", "plain Keras, folded")]
        print(f"{name:20} {median:6.0f} images/s {times[0]:6.2f} {times[1]:6.2f}")


def _cut(source: Dataset, folder: Path, count: int) -> None:
    """Writes JPEG photos, cut from the images that are large enough."""
    large = []
    for image in source.images:
        with Image.open(image.path) as opened:
            if opened.width >= 2 * _WIDTH and opened.height >= 2 * _HEIGHT:
                large.append(image.path)
    if not large:
        raise UserError(
            f"--image_dir has no image of {2 * _WIDTH} x {2 * _HEIGHT} pixels to cut photos from;"
            " give --images=0 to take those that there are"
        )
    rng = np.random.default_rng(0)
    for number in range(count):
        with Image.open(large[number % len(large)]) as opened:
            height = int(rng.uniform(2 * _HEIGHT, min(opened.height, opened.width * 3 / 4)))
            width = height * 4 // 3
            left = int(rng.integers(0, opened.width - width + 1))
            top = int(rng.integers(0, opened.height - height + 1))
            box = (left, top, left + width, top + height)
            photo = opened.convert("RGB").resize((_WIDTH, _HEIGHT), box=box, reducing_gap=3)
        path = folder / str(number % 2) / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo.save(path, quality=90)


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


def _ours(dataset: Dataset, engine: str) -> None:
    with tempfile.TemporaryDirectory() as cache:
        compute_bottlenecks(dataset, registry.load(registry.DEFAULT), engine, Path(cache))


def _plain(dataset: Dataset, network: Any) -> None:
    import tensorflow as tf

    images = tf.keras.utils.image_dataset_from_directory(
        dataset.image_dir,
        labels=None,
        batch_size=32,
        image_size=(efficientnet_lite0_network.HEIGHT, efficientnet_lite0_network.WIDTH),
        shuffle=False,
        verbose=False,
    )
    normalised = images.map(lambda pixels: (pixels - 127.0) / 128.0, tf.data.AUTOTUNE)
    network.predict(normalised.prefetch(tf.data.AUTOTUNE), verbose=0)


if __name__ == "__main__":
    command_line.run(main, __doc__)

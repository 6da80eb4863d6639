"""Measures how fast retrain and plain Keras compute bottlenecks from image files.

    bazel run //tests/benchmarks:features -- --image_dir=DIR

retrain runs with an empty cache and each engine; int8 includes the calibration. The Keras pipeline
consists of `image_dataset_from_directory` and `predict`. It runs the same network twice: with batch
normalisation layers, as networks in `keras.applications` have, and with these layers folded into
the convolutions. The images are photos of 500 x 375 pixels, cropped at random from the large images
in DIR. --nokeras leaves these rows out.

The last lines compare the default engine with the limit: the rate if all processors did nothing but
run the network and decode images, at the rates of each of the two alone. The processor times of the
three hardly depend on what else the machine does.
"""

import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from PIL import Image

from retrain.backbones import (
    convert_efficientnet_lite0,
    efficientnet_lite0,
    efficientnet_lite_network,
    efficientnet_lite_variants,
    engines,
    torch_file,
)
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.config import SplitOptions
from retrain.data import pixels
from retrain.data.dataset import Dataset, scan_dataset
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.runtimes.runtime import Runtime
from retrain.system.files.user_paths import user_path
from retrain.system.processors import processor_count
from retrain.system.program import command_line
from retrain.system.threads import parallel_map

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with a sub-folder of images for each class.", required=True
)
_IMAGES = flags.DEFINE_integer(
    "images", 1000, "Number of photos to crop. 0 uses the original images.", lower_bound=0
)
_KERAS = flags.DEFINE_boolean("keras", True, "Whether to measure plain Keras as well.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Number of measurements of each method.", lower_bound=1)

_WIDTH, _HEIGHT = 500, 375
# Number of images that the limit is measured with.
_LIMIT_IMAGES = 320


def main(_: list[str]) -> None:
    """Prints images per second of each method, and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        source = scan_dataset(user_path(_IMAGE_DIR.value), SplitOptions())
        if _IMAGES.value:
            _crop(source, Path(folder), _IMAGES.value)
            source = scan_dataset(Path(folder), SplitOptions())
        _measure(source)


class _Cost(NamedTuple):
    """The mean cost of an image, in seconds."""

    elapsed: float
    processor: float

    def scale(self, factor: float) -> "_Cost":
        return _Cost(self.elapsed * factor, self.processor * factor)


def _measure(dataset: Dataset) -> None:
    default = engines.resolve(engines.AUTO)
    default_row = f"retrain, {default}"
    methods: dict[str, Callable[[], object]] = {
        f"retrain, {name}": functools.partial(_run_retrain, dataset, name)
        for name in dict.fromkeys([engines.FLOAT32, engines.INT8, default])
    }
    if _KERAS.value:
        folded = _build_network()
        published = _with_batch_norm(folded)
        methods = {
            "Keras": lambda: _run_keras(dataset, published),
            "Keras, folded": lambda: _run_keras(dataset, folded),
        } | methods
    costs: dict[str, list[_Cost]] = {}
    for _round in range(_ROUNDS.value):
        for name, compute in methods.items():
            costs.setdefault(name, []).append(_cost(compute, len(dataset.images)))
        decoding, images = _measure_decoding(dataset)
        costs.setdefault("decoding", []).append(decoding)
        costs.setdefault("network", []).append(_measure_network(dataset, default, images))
    medians = {
        name: _Cost(*map(statistics.median, zip(*values, strict=True)))
        for name, values in costs.items()
    }
    for name in methods:
        rate = 1 / medians[name].elapsed
        ratios = [
            rate * medians[keras].elapsed for keras in ("Keras", "Keras, folded") if _KERAS.value
        ]
        print(f"{name:20} {rate:6.0f} images/s", *(f"{ratio:6.2f}" for ratio in ratios))
    limits = [
        one.elapsed / processor_count() + other.elapsed
        for one, other in zip(costs["decoding"], costs["network"], strict=True)
    ]
    reached = statistics.median(
        one_limit / cost.elapsed for one_limit, cost in zip(limits, costs[default_row], strict=True)
    )
    print(
        f"limit of {default}: {1 / statistics.median(limits):.0f} images/s, {reached:.2f} reached"
    )
    total, decoding_time, network_time = (
        1000 * medians[name].processor for name in (default_row, "decoding", "network")
    )
    print(
        f"processor time of an image: {total:.2f} ms, of which decoding {decoding_time:.2f} ms and "
        f"the network {network_time:.2f} ms"
    )


def _cost(compute: Callable[[], object], count: int) -> _Cost:
    start, processor_start = time.monotonic(), time.process_time()
    compute()
    cost = _Cost(time.monotonic() - start, time.process_time() - processor_start)
    return cost.scale(1 / count)


def _measure_decoding(dataset: Dataset) -> tuple[_Cost, np.ndarray]:
    """Returns the cost of decoding by one processor, and decoded images."""
    backbone = efficientnet_lite0.load()
    images: list[np.ndarray] = []

    def decode() -> None:
        for image in dataset.images[:_LIMIT_IMAGES]:
            data = image.path.read_bytes()
            images.append(pixels.decode(data, backbone.height, backbone.width))

    cost = _cost(decode, min(_LIMIT_IMAGES, len(dataset.images)))
    return cost, np.stack(images)


def _measure_network(dataset: Dataset, engine: str, images: np.ndarray) -> _Cost:
    """Returns the cost of the network that runs on all processors, in the engines of the splits."""
    parts = []
    for split_engine, splits in (
        (engine, [TRAINING]),
        (engines.for_evaluation(engine), [VALIDATION, TEST]),
    ):
        share = sum(len(dataset.split(split)) for split in splits) / len(dataset.images)
        with engines.create(split_engine, efficientnet_lite0.load()) as one:
            runtime = one.load()
            chunks = [
                images[i : i + runtime.batch_size]
                for i in range(0, len(images), runtime.batch_size)
            ]
            _run_network(runtime, chunks[:4])
            cost = _cost(functools.partial(_run_network, runtime, chunks), len(images))
            parts.append(cost.scale(share))
    return _Cost(*map(sum, zip(*parts, strict=True)))


def _run_network(runtime: Runtime, chunks: list[np.ndarray]) -> None:
    for _ in parallel_map(runtime.run, chunks, runtime.workers):
        pass


def _crop(source: Dataset, folder: Path, count: int) -> None:
    """Writes JPEG photos that are cropped from the images that are large enough."""
    large = []
    for image in source.images:
        with Image.open(image.path) as opened:
            if opened.width >= 2 * _WIDTH and opened.height >= 2 * _HEIGHT:
                large.append(image.path)
    if not large:
        raise UserError(
            f"--image_dir={_IMAGE_DIR.value} contains no image of at least {2 * _WIDTH} x "
            f"{2 * _HEIGHT} pixels to crop photos from; add one, or use --images=0"
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


def _build_network() -> Any:
    tensors = torch_file.read_tensors(convert_efficientnet_lite0.weights_file())
    return efficientnet_lite_network.build(efficientnet_lite_variants.LITE0, tensors)[0]


def _with_batch_norm(network: Any) -> Any:
    """Returns the network as published, with batch normalisation after every convolution."""
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


def _run_retrain(dataset: Dataset, engine: str) -> None:
    with tempfile.TemporaryDirectory() as cache:
        compute_bottlenecks(dataset, efficientnet_lite0.load(), engine, Path(cache))


def _run_keras(dataset: Dataset, network: Any) -> None:
    import tensorflow as tf

    images = tf.keras.utils.image_dataset_from_directory(
        dataset.image_dir,
        labels=None,
        batch_size=32,
        image_size=2 * (efficientnet_lite_variants.LITE0.image_size,),
        shuffle=False,
        verbose=False,
    )
    normalised = images.map(lambda pixels: (pixels - 127.0) / 128.0, tf.data.AUTOTUNE)
    network.predict(normalised.prefetch(tf.data.AUTOTUNE), verbose=0)


if __name__ == "__main__":
    command_line.run(main, __doc__)

"""Compares the time of an epoch in train_keras with plain `model.fit` of the same network.

    bazel run //tests/benchmarks:train_keras -- --mnist=mnist.npz --train_dir=T --val_dir=V

The small networks are trained on images of MNIST. The default backbone gets a new output layer,
which is trained on the images in T, once from pixels, as in tutorials, and once from cached
bottlenecks. The first epoch of each kind is a warm-up and does not count. The kinds take turns.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from retrain.backbones import efficientnet_lite0
from retrain.errors import UserError
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from retrain.system.program.console import quiet_native_libraries
from tools.keras_training import (
    input_pipeline,
    npz_file,
    optimizers,
    pretrained,
    small_networks,
    tasks,
)
from tools.keras_training.examples import Examples
from tools.keras_training.image_shape import ImageShape
from tools.keras_training.options import Augmentation, Options
from tools.keras_training.small_networks import SMALL_NETWORKS

_MNIST = flags.DEFINE_string("mnist", None, "Path of the file mnist.npz.")
_TRAIN_DIR = flags.DEFINE_string(
    "train_dir", None, "Folder with a sub-folder of training images for each class."
)
_VAL_DIR = flags.DEFINE_string(
    "val_dir", None, "Folder with validation images in the same sub-folders."
)
_IMAGES = flags.DEFINE_integer(
    "images", 12_800, "Number of images of MNIST in an epoch.", lower_bound=128
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 5, "Number of measured epochs of each kind.", lower_bound=1
)

_BATCH_SIZE = 128
_CLASSES = 10
_BFLOAT16 = "auto_mixed_precision_onednn_bfloat16"
_AUGMENTATION = Augmentation(random_shift=7, random_rotation=10, random_scale=10)
_NO_FOLDER = Path()

_Epoch = Callable[[], Any]


def main(_: list[str]) -> None:
    """Measures the epochs, and prints a table."""
    if not (_MNIST.value or _TRAIN_DIR.value):
        raise UserError("--mnist=mnist.npz is required, or --train_dir and --val_dir")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_native_libraries():
        if _MNIST.value:
            for name in SMALL_NETWORKS:
                _compare(name, _small_network_epochs(name))
        if _TRAIN_DIR.value:
            with tempfile.TemporaryDirectory() as cache:
                _compare(
                    f"{efficientnet_lite0.NAME}, new output layer",
                    _output_layer_epochs(Path(cache)),
                )


def _small_network_epochs(name: str) -> dict[str, _Epoch]:
    from tensorflow import keras

    shape = ImageShape(28, 28, 1)
    mnist = npz_file.load(npz_file.read(user_path(_MNIST.value or "")), shape).train
    rows = np.random.default_rng(0).permutation(len(mnist.inputs))[: _IMAGES.value]
    examples = Examples(mnist.inputs[rows], mnist.class_ids[rows])
    x = examples.inputs.astype(np.float32)
    y = keras.utils.to_categorical(examples.class_ids, _CLASSES)
    plain = small_networks.build(name, shape, _CLASSES)
    plain.compile("adam", "categorical_crossentropy", metrics=["accuracy"])

    def train_keras_epoch(augmentation: Augmentation) -> _Epoch:
        model = small_networks.build(name, shape, _CLASSES)
        return _epoch(model, examples, _CLASSES, batch_size=_BATCH_SIZE, augmentation=augmentation)

    return {
        "plain model.fit on arrays": lambda: plain.fit(x, y, batch_size=_BATCH_SIZE, verbose=0),
        "train_keras": train_keras_epoch(Augmentation()),
        "train_keras, augmented images": train_keras_epoch(_AUGMENTATION),
        "train_keras --mixed_precision": _in_bfloat16(train_keras_epoch(Augmentation())),
    }


def _epoch(
    model: Any,
    examples: Examples,
    classes: int,
    *,
    batch_size: int,
    augmentation: Augmentation,
) -> _Epoch:
    """Returns a function that trains a model for an epoch as train_keras does."""
    steps = input_pipeline.steps_per_epoch(examples, batch_size)
    optimizers.compile_model(
        model, Options(_NO_FOLDER, "", _NO_FOLDER, bottleneck_dir=_NO_FOLDER), steps
    )
    batches = input_pipeline.training_batches(
        examples,
        classes=classes,
        batch_size=batch_size,
        epochs=range(1),
        seed=0,
        augmentation=augmentation,
    )
    return lambda: model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)


def _in_bfloat16(epoch: _Epoch) -> _Epoch:
    import tensorflow as tf

    def run() -> None:
        # The option has an effect when the first epoch builds the graph of a step.
        tf.config.optimizer.set_experimental_options({_BFLOAT16: True})
        epoch()
        tf.config.optimizer.set_experimental_options({_BFLOAT16: False})

    return run


def _output_layer_epochs(cache: Path) -> dict[str, _Epoch]:
    import tensorflow as tf
    from tensorflow import keras

    backbone = efficientnet_lite0.load()
    train_dir, val_dir = (user_path(flag.value or "") for flag in (_TRAIN_DIR, _VAL_DIR))
    options = Options(
        train_dir, efficientnet_lite0.NAME, _NO_FOLDER, val_dir=val_dir, bottleneck_dir=cache
    )
    task = tasks.load(options, tasks.scan_folders(options))
    classes = len(task.data.labels)
    plain = pretrained.build(backbone, classes).classifier
    plain.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    images = keras.utils.image_dataset_from_directory(
        train_dir,
        label_mode="categorical",
        image_size=(task.image_shape.height, task.image_shape.width),
        verbose=False,
    ).prefetch(tf.data.AUTOTUNE)
    return {
        "plain model.fit on image_dataset_from_directory": lambda: plain.fit(
            images, shuffle=False, verbose=0
        ),
        "train_keras": _epoch(
            task.model,
            task.data.train,
            classes,
            batch_size=task.batch_size,
            augmentation=Augmentation(),
        ),
    }


def _compare(title: str, kinds: dict[str, _Epoch]) -> None:
    for epoch in kinds.values():
        epoch()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for _ in range(_ROUNDS.value):
        for name, epoch in kinds.items():
            start, processor_start = time.monotonic(), time.process_time()
            epoch()
            times[name].append((time.monotonic() - start, time.process_time() - processor_start))
    print(f"{title}\n  {'':48} seconds  processor seconds")
    for name, rows in times.items():
        seconds, processor_seconds = (
            statistics.median(column) for column in zip(*rows, strict=True)
        )
        print(f"  {name:48} {seconds:7.2f}  {processor_seconds:17.2f}")


if __name__ == "__main__":
    command_line.run(main, __doc__)

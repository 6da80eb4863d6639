"""Seconds of an epoch with train_keras, beside plain `model.fit` with the same network.

    bazel run //tests/benchmarks:train_keras -- --mnist=mnist.npz --train_dir=T --val_dir=V

The small networks learn from images of MNIST; then the default backbone with a new last layer
from those in T, once as tutorials do it and once from cached bottlenecks. Epochs are taken in turns
after one of each kind that does not count.
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

from retrain.backbones import registry
from retrain.errors import UserError
from retrain.system import command_line
from retrain.system.console import quiet_native_libraries
from retrain.system.files import user_path
from tools.keras_training import arrays, batches, networks, optimizers, pretrained, tasks
from tools.keras_training.examples import Examples
from tools.keras_training.image_folders import Shape
from tools.keras_training.options import Augmentation, Options

_MNIST = flags.DEFINE_string("mnist", None, "The file mnist.npz.")
_TRAIN_DIR = flags.DEFINE_string("train_dir", None, "Folder of images by class.")
_VAL_DIR = flags.DEFINE_string("val_dir", None, "The same, for validation.")
_IMAGES = flags.DEFINE_integer("images", 12_800, "Of MNIST, in an epoch.", lower_bound=128)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Epochs of each kind.", lower_bound=1)

_BATCH_SIZE = 128
_BFLOAT16 = "auto_mixed_precision_onednn_bfloat16"
_VARIED = Augmentation(random_shift=7, random_rotation=10, random_scale=10)
_NOWHERE = Path()

_Epoch = Callable[[], Any]


def main(arguments: list[str]) -> None:
    """Measures, and prints a table."""
    if arguments or not (_MNIST.value or _TRAIN_DIR.value):
        raise UserError("--mnist=mnist.npz is needed, or --train_dir and --val_dir")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_native_libraries():
        if _MNIST.value:
            for name in networks.NETWORKS:
                _compare(name, _small(name))
        if _TRAIN_DIR.value:
            with tempfile.TemporaryDirectory() as cache:
                _compare(f"{registry.DEFAULT}, a new last layer", _new_layer(Path(cache)))


def _small(name: str) -> dict[str, _Epoch]:
    from tensorflow import keras

    whole = arrays.load(arrays.read(user_path(_MNIST.value or "")), Shape(28, 28, 1)).train
    rows = np.random.default_rng(0).permutation(len(whole.inputs))[: _IMAGES.value]
    some = Examples(whole.inputs[rows], whole.class_ids[rows])
    x, y = some.inputs.astype(np.float32), keras.utils.to_categorical(some.class_ids, 10)
    plain = networks.build(name, 28, 28, 1, 10, None)
    plain.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return {
        "plain model.fit on arrays": lambda: plain.fit(x, y, batch_size=_BATCH_SIZE, verbose=0),
        "train_keras": _ours(name, some, Augmentation()),
        "train_keras, varied images": _ours(name, some, _VARIED),
        "train_keras --mixed_precision": _in_bfloat16(_ours(name, some, Augmentation())),
    }


def _ours(name: str, examples: Examples, augmentation: Augmentation) -> _Epoch:
    model = networks.build(name, 28, 28, 1, 10, None)
    return _fit(model, examples, 10, _BATCH_SIZE, augmentation)


def _fit(
    model: Any, examples: Examples, classes: int, batch_size: int, augmentation: Augmentation
) -> _Epoch:
    steps = batches.steps(examples, batch_size)
    optimizers.compile_model(model, Options(_NOWHERE, "", _NOWHERE), steps)
    stream = batches.training(examples, classes, batch_size, range(1), 0, augmentation)
    return lambda: model.fit(stream, steps_per_epoch=steps, shuffle=False, verbose=0)


def _in_bfloat16(epoch: _Epoch) -> _Epoch:
    import tensorflow as tf

    def run() -> None:
        # It counts when the first epoch makes the graph of a step.
        tf.config.optimizer.set_experimental_options({_BFLOAT16: True})
        epoch()
        tf.config.optimizer.set_experimental_options({_BFLOAT16: False})

    return run


def _new_layer(cache: Path) -> dict[str, _Epoch]:
    import tensorflow as tf
    from tensorflow import keras

    backbone = registry.load(registry.DEFAULT)
    train, val = (user_path(flag.value or "") for flag in (_TRAIN_DIR, _VAL_DIR))
    options = Options(train, registry.DEFAULT, _NOWHERE, val_dir=val, bottleneck_dir=cache)
    task = tasks.make(options, tasks.find(options))
    classes = len(task.data.labels)
    plain = pretrained.join(backbone, classes, None, 0).classifier
    plain.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    files = keras.utils.image_dataset_from_directory(
        *(train, "inferred", "categorical"), image_size=task.shape[:2], verbose=False
    ).prefetch(tf.data.AUTOTUNE)
    return {
        "plain model.fit on image_dataset_from_directory": lambda: plain.fit(
            files, shuffle=False, verbose=0
        ),
        "train_keras": _fit(
            task.learner, task.data.train, classes, task.batch_size, Augmentation()
        ),
    }


def _compare(title: str, kinds: dict[str, _Epoch]) -> None:
    for epoch in kinds.values():
        epoch()
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for _ in range(_ROUNDS.value):
        for name, epoch in kinds.items():
            wall, processor = time.monotonic(), time.process_time()
            epoch()
            spent[name].append((time.monotonic() - wall, time.process_time() - processor))
    print(f"{title}\n  {'':48} seconds  of a processor")
    for name, times in spent.items():
        wall, processor = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"  {name:48} {wall:7.2f}  {processor:7.2f}")


if __name__ == "__main__":
    command_line.run(main, __doc__)

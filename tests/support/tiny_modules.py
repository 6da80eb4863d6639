"""Writes small modules like those of TensorFlow Hub, with random weights."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 24


def weights(width: int = WIDTH) -> np.ndarray:
    """Returns the same float32 kernel [3, 3, 3, width] each time."""
    return np.random.default_rng(0).normal(0, 0.4, (3, 3, 3, width)).astype(np.float32)


def features(pixels: Any, kernel: Any) -> Any:
    """Returns float32 [N, width] for a kernel [3, 3, 3, width] and pixels from 0 to 1."""
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.relu6(tf.nn.conv2d(pixels, kernel, 2, "SAME")), [1, 2])


def write(
    folder: Path,
    size: tuple[int | None, int | None] = (None, None),
    *,
    width: int = WIDTH,
    output: str = "vector",
    damaged: bool = False,
) -> Path:
    """Writes a module that can be called with images.

    Args:
        folder: Folder for the module.
        size: Height and width of the images, or None for any.
        width: Number of values in a vector.
        output: "vector", "maps" for [N, h, w, width], or "several" for a dictionary of two vectors.
        damaged: Whether one of the weights is not a number.
    """
    import tensorflow as tf

    class Module(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            kernel = weights(width)
            if damaged:
                kernel[0, 0, 0, 0] = np.nan
            self.kernel = tf.Variable(kernel)

        @tf.function(input_signature=[tf.TensorSpec((None, *size, 3), tf.float32)])
        def __call__(self, images: Any) -> Any:
            if output == "maps":
                return tf.nn.conv2d(images, self.kernel, 2, "SAME")
            vectors = features(images, self.kernel)
            return {"a": vectors, "b": vectors} if output == "several" else vectors

    tf.saved_model.save(Module(), str(folder))
    return folder


def write_trainable(folder: Path, side: int) -> Path:
    """Writes a module with a `training` argument, which is True by default, like those of Hub."""
    import tensorflow as tf

    class Module(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = tf.Variable(weights())

        @tf.function
        def __call__(self, inputs: Any, training: bool = True) -> Any:
            vectors = features(inputs, self.kernel)
            return vectors + 100 if training else vectors

    module = Module()
    for training in (True, False):
        module.__call__.get_concrete_function(
            tf.TensorSpec((None, side, side, 3), tf.float32), training
        )
    tf.saved_model.save(module, str(folder))
    return folder


def write_with(folder: Path, side: int, effect: Callable[[], Any]) -> Path:
    """Writes a module whose function first does something else."""
    import tensorflow as tf

    def call(images: Any) -> Any:
        with tf.control_dependencies([effect()]):
            return features(tf.identity(images), weights())

    module = tf.Module()
    module.__call__ = tf.function(call, [tf.TensorSpec((None, side, side, 3), tf.float32)])
    tf.saved_model.save(module, str(folder))
    return folder


def write_keras(folder: Path, side: int) -> Path:
    """Exports a Keras model, which then has a signature but cannot be called."""
    import tensorflow as tf

    model = tf.keras.Sequential(
        [
            tf.keras.Input((side, side, 3)),
            tf.keras.layers.Conv2D(
                WIDTH, 3, strides=2, padding="same", use_bias=False, activation="relu6"
            ),
            tf.keras.layers.GlobalAveragePooling2D(),
        ]
    )
    model.set_weights([weights()])
    model.export(str(folder), verbose=False)
    return folder


def write_tensorflow_1(folder: Path) -> Path:
    """Writes a SavedModel of TensorFlow 1, which has a graph but no objects."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        pixels = v1.placeholder(tf.float32, (None, 32, 32, 3))
        outputs = {"features": features(pixels, weights())}
        v1.saved_model.simple_save(session, str(folder), {"images": pixels}, outputs)
    return folder


def archive(folder: Path, path: Path) -> Path:
    """Packs a module like the server of TensorFlow Hub."""
    with tarfile.open(path, "w:gz") as file:
        for entry in sorted(folder.iterdir()):
            file.add(entry, f"./{entry.name}")
    return path

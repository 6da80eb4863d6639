"""Small modules as TensorFlow Hub has them, with weights at random."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 24


def weights() -> np.ndarray:
    """Returns float32 [3, 3, 3, WIDTH]; the same every time."""
    return np.random.default_rng(0).normal(0, 0.4, (3, 3, 3, WIDTH)).astype(np.float32)


def features(pixels: Any, kernel: Any) -> Any:
    """Returns [N, WIDTH] for pixels from 0 to 1, of any size."""
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.relu6(tf.nn.conv2d(pixels, kernel, 2, "SAME")), [1, 2])


def write(folder: Path, size: tuple[int | None, int | None] = (None, None), **kind: bool) -> Path:
    """Writes a module that is called with images of `size`, where that is not None.

    Args:
        folder: where to.
        size: height and width.
        **kind: `vector=False` gives maps, `several=True` a dictionary of two, `damaged=True` a
            network with a weight that is not a number.
    """
    import tensorflow as tf

    class Module(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            kernel = weights()
            if kind.get("damaged"):
                kernel[0, 0, 0, 0] = np.nan
            self.kernel = tf.Variable(kernel)

        @tf.function(input_signature=[tf.TensorSpec((None, *size, 3), tf.float32)])
        def __call__(self, images: Any) -> Any:
            if not kind.get("vector", True):
                return tf.nn.conv2d(images, self.kernel, 2, "SAME")
            found = features(images, self.kernel)
            return {"a": found, "b": found} if kind.get("several") else found

    tf.saved_model.save(Module(), str(folder))
    return folder


def write_trainable(folder: Path, side: int) -> Path:
    """Writes a module that is told whether it is trained, as those of Hub are; it is by default."""
    import tensorflow as tf

    class Module(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = tf.Variable(weights())

        @tf.function
        def __call__(self, inputs: Any, training: bool = True) -> Any:
            found = features(inputs, self.kernel)
            return found + 100 if training else found

    module = Module()
    for training in (True, False):
        module.__call__.get_concrete_function(
            tf.TensorSpec((None, side, side, 3), tf.float32), training
        )
    tf.saved_model.save(module, str(folder))
    return folder


def write_keras(folder: Path, side: int) -> Path:
    """Writes a Keras model as its `export` does, with nothing to call but a signature."""
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
    """Writes a SavedModel as TensorFlow 1 did: a graph without objects."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        pixels = v1.placeholder(tf.float32, (None, 32, 32, 3))
        outputs = {"features": features(pixels, weights())}
        v1.saved_model.simple_save(session, str(folder), {"images": pixels}, outputs)
    return folder


def archive(folder: Path, path: Path) -> Path:
    """Packs a module as Hub's site does."""
    with tarfile.open(path, "w:gz") as file:
        for entry in sorted(folder.iterdir()):
            file.add(entry, f"./{entry.name}")
    return path

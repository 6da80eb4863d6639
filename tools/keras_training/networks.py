"""Two small networks that are trained from scratch, on grey or coloured images.

Both are those of tutorials that take handwritten digits to Core ML. With 28 x 28 grey pixels and
ten classes they have 94,602 and 1,199,882 parameters.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from retrain.errors import UserError


@dataclasses.dataclass(frozen=True)
class Network:
    """How a network is made.

    Attributes:
        layers: those between the pixels, which are 0 to 1, and the last one; given the part to drop
            in each place, or None for what its author chose.
        smallest_side: height and width, in pixels, from which on it can be made.
    """

    layers: Callable[[float | None], list[Any]]
    smallest_side: int


def check_size(name: str, height: int, width: int) -> None:
    """Raises UserError where images are too small for the network of that name."""
    least = NETWORKS[name].smallest_side
    if min(height, width) < least:
        raise UserError(
            f"--architecture={name} needs images of {least} x {least} pixels at least, not "
            f"--height={height} --width={width}; give larger numbers"
        )


def build(
    name: str, height: int, width: int, channels: int, classes: int, dropout: float | None
) -> Any:
    """Returns a Keras model from pixels as they are to probabilities, with weights at random.

    Its input is float32 [N, height, width, channels], 0 to 255; its output float32 [N, classes].

    Args:
        name: a key of NETWORKS.
        height: of its images, in pixels, as `check_size` lets pass.
        width: the same.
        channels: 1 for grey, 3 for RGB.
        classes: how many classes there are.
        dropout: the part to drop in each place, 0 to below 1; None for what is usual.
    """
    # Through TensorFlow: after `graph_session`, Keras cannot be the first to import it.
    from tensorflow import keras

    return keras.Sequential(
        [
            keras.Input((height, width, channels), name="image"),
            keras.layers.Rescaling(1 / 255, name="scale"),
            *NETWORKS[name].layers(dropout),
            keras.layers.Dense(classes, activation="softmax", name="probabilities"),
        ],
        name=name,
    )


def _malireddi(dropout: float | None) -> list[Any]:
    """Of Sri Raghu Malireddi's app with Core ML (2017), github.com/r4ghu/iOS-CoreML-MNIST."""
    from tensorflow.keras import layers

    first, second, third = (0.5, 0.2, 0.2) if dropout is None else (dropout,) * 3
    return [
        layers.Conv2D(32, 5, activation="relu"),
        layers.MaxPooling2D(),
        layers.Dropout(first),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Dropout(second),
        layers.Conv2D(128, 1, activation="relu"),
        layers.MaxPooling2D(),
        layers.Dropout(third),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
    ]


def _chollet(dropout: float | None) -> list[Any]:
    """Of François Chollet's examples for Keras: mnist_cnn.py (2015 to 2020)."""
    from tensorflow.keras import layers

    first, second = (0.25, 0.5) if dropout is None else (dropout,) * 2
    return [
        layers.Conv2D(32, 3, activation="relu"),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Dropout(first),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dropout(second),
    ]


NETWORKS = {
    "cnn_malireddi": Network(_malireddi, smallest_side=16),
    "cnn_chollet": Network(_chollet, smallest_side=6),
}

# What the two were made for.
USUAL_SIDE = 28

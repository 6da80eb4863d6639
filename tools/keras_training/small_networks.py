"""Small convolutional networks that are trained from scratch on grey or RGB images.

Both come from tutorials that convert a classifier of handwritten digits to Core ML. With grey
images of 28 x 28 pixels and ten classes they have 94,602 and 1,199,882 parameters.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from retrain.errors import UserError
from tools.keras_training.image_shape import ImageShape

# Both networks were designed for MNIST.
DEFAULT_SIDE = 28


@dataclasses.dataclass(frozen=True)
class SmallNetwork:
    """The architecture of a small network.

    Attributes:
        build_layers: Returns the layers between the scaled pixels, 0 to 1, and the output layer.
            The argument is the dropout rate, or None for the rates of the network's author.
        min_side: Minimum height and width of the input images in pixels.
    """

    build_layers: Callable[[float | None], list[Any]]
    min_side: int


def check_size(name: str, height: int, width: int) -> None:
    """Raises UserError if images are too small for the network with this name."""
    side = SMALL_NETWORKS[name].min_side
    if min(height, width) < side:
        raise UserError(
            f"--architecture={name} needs images of at least {side} x {side} pixels, but got "
            f"--height={height} --width={width}; set larger values"
        )


def build(name: str, shape: ImageShape, classes: int, *, dropout: float | None = None) -> Any:
    """Returns a Keras model with random weights.

    Its input is float32 [N, height, width, channels], 0 to 255. Its output holds probabilities,
    float32 [N, classes].

    Args:
        name: Key in SMALL_NETWORKS.
        shape: Shape of the input images, at least as large as `check_size` demands.
        classes: Number of classes.
        dropout: Rate of all dropout layers, 0 to below 1; None for the rates of the author.
    """
    from tensorflow import keras

    return keras.Sequential(
        [
            keras.Input(tuple(shape), name="image"),
            keras.layers.Rescaling(1 / 255, name="scale"),
            *SMALL_NETWORKS[name].build_layers(dropout),
            keras.layers.Dense(classes, activation="softmax", name="probabilities"),
        ],
        name=name,
    )


def _malireddi_layers(dropout: float | None) -> list[Any]:
    """From Sri Raghu Malireddi's Core ML app (2017), github.com/r4ghu/iOS-CoreML-MNIST."""
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


def _chollet_layers(dropout: float | None) -> list[Any]:
    """From François Chollet's Keras example mnist_cnn.py (2015 to 2020)."""
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


SMALL_NETWORKS = {
    "cnn_malireddi": SmallNetwork(_malireddi_layers, min_side=16),
    "cnn_chollet": SmallNetwork(_chollet_layers, min_side=6),
}

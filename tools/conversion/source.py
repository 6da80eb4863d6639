"""What is converted: a classifier that was loaded from a file of any kind."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from retrain.export.coreml_conversion import BGR, GRAYSCALE, RGB
from retrain.metadata import Metadata

# Of which there are some to convert.
KINDS = (
    "a frozen graph (.pb), the folder of a SavedModel, or a Keras file (.keras, .h5, or .json with "
    "--weights)"
)


@dataclasses.dataclass(frozen=True)
class Pixels:
    """What a network takes for an image.

    Attributes:
        colours: RGB, BGR or GRAYSCALE, the order of the channels.
        mean: of each channel, in that order and units of 0 to 255; subtracted first.
        std: of each channel; what is divided by then.
    """

    colours: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Source:
    """A classifier that TensorFlow can run and trace.

    Attributes:
        scores: from float32 [N, height, width, channels], normalised, to float32 [N, classes].
        height: of the images, in pixels.
        width: of the images, in pixels.
        channels: 3, or 1 for grey.
        metadata: what the file says of the classifier, if retrain wrote it.
        pixels: what it takes, where the file says so.
        keras: the model, where it is one of Keras's.
    """

    scores: Callable[[Any], Any]
    height: int
    width: int
    channels: int
    metadata: Metadata | None = None
    pixels: Pixels | None = None
    keras: Any = None


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the user says of the file, where it does not say it itself.

    Attributes:
        weights: of a Keras model whose file has none.
        input_layer: the tensor that takes pixels.
        output_layer: the tensor of the scores.
        height: of the images.
        width: of the images.
    """

    weights: Path | None = None
    input_layer: str | None = None
    output_layer: str | None = None
    height: int | None = None
    width: int | None = None


def plain_pixels(channels: int) -> Pixels:
    """Returns what a network takes that normalises images itself."""
    return Pixels(RGB if channels == 3 else GRAYSCALE, (0.0,) * channels, (1.0,) * channels)


def pixels_of(metadata: Metadata) -> Pixels:
    """Returns what retrain's networks take where nothing comes before them."""
    colours = BGR if metadata.channel_order == "BGR" else RGB
    return Pixels(colours, metadata.mean, metadata.std)

"""The classifier to convert, as it was loaded from a file of any format."""

import dataclasses
from collections.abc import Callable
from typing import Any

from retrain.metadata import Metadata
from tools.conversion.preprocessing import InputFormat

# The formats, for help texts and error messages.
FORMATS = (
    "a frozen graph (.pb), the folder of a SavedModel, or a Keras file (.keras, .h5, or .json with "
    "--weights)"
)


@dataclasses.dataclass(frozen=True)
class SourceClassifier:
    """A loaded classifier.

    Attributes:
        scores: Function from normalised images, float32 [N, height, width, channels], to scores,
            float32 [N, classes], that TensorFlow can trace.
        height: Height of the input images in pixels.
        width: Width of the input images in pixels.
        channels: Number of channels of the input images, 3 or 1.
        metadata: Metadata in the file, if this program wrote it.
        input_format: Format of the input images, if the file describes it.
        keras_model: The Keras model, if the file contains one.
    """

    scores: Callable[[Any], Any]
    height: int
    width: int
    channels: int
    metadata: Metadata | None = None
    input_format: InputFormat | None = None
    keras_model: Any = None


@dataclasses.dataclass(frozen=True)
class GraphOptions:
    """User's description of a graph, for what the graph does not describe itself.

    Attributes:
        input_layer: Name of the tensor that pixels are fed to.
        output_layer: Name of the tensor of the scores.
        height: Height of the input images in pixels.
        width: Width of the input images in pixels.
        trust_model: Whether to load a graph that does more than compute.
    """

    input_layer: str | None = None
    output_layer: str | None = None
    height: int | None = None
    width: int | None = None
    trust_model: bool = False

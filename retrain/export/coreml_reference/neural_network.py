"""A neural network (`.mlmodel`), whose layers are evaluated one after the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrain.export.coreml_reference.kernels import UnknownOperationError
from retrain.export.coreml_reference.layers import LAYERS

# The shapes of arrays are what they say, and an image is [1, channels, height, width].
_EXACT_SHAPES = 1


class NeuralNetwork:
    """A neural network that can be traced by TensorFlow.

    Attributes:
        labels: the classes, in the order of the probabilities.
    """

    def __init__(self, spec: Any) -> None:
        """Reads the layers and their weights.

        Args:
            spec: a `Model`, with a neural network as a classifier.

        Raises:
            UnknownOperationError: there is a layer that is not known.
        """
        network = spec.neuralNetworkClassifier
        self._layers = list(network.layers)
        unknown = sorted({_kind(layer) for layer in self._layers} - set(LAYERS))
        if unknown:
            raise UnknownOperationError(f"neural network layers {', '.join(unknown)}")
        if (network.arrayInputShapeMapping, network.imageInputShapeMapping) != (_EXACT_SHAPES,) * 2:
            raise UnknownOperationError("a neural network whose arrays all have five dimensions")
        self._input = spec.description.input[0].name
        self._output = network.labelProbabilityLayerName or self._layers[-1].output[0]
        self._scaler = _scaler(network.preprocessing, spec.description.input[0].type.imageType)
        self.labels = tuple(network.stringClassLabels.vector)

    def __call__(self, images: Any) -> Any:
        """Returns probabilities, float32 [1, classes].

        Args:
            images: float32 [1, channels, height, width], 0 to 255, in the channel order of the
                file.
        """
        scale, bias = self._scaler
        values = {self._input: images * scale + bias}
        for layer in self._layers:
            inputs = [values[name] for name in layer.input]
            kind = _kind(layer)
            (name,) = layer.output
            values[name] = LAYERS[kind](getattr(layer, kind), *inputs)
        return values[self._output]


def _kind(layer: Any) -> str:
    return layer.WhichOneof("layer")


def _scaler(preprocessing: Sequence[Any], image: Any) -> tuple[float, np.ndarray]:
    """Returns what an image is multiplied with and what is added to its channels then."""
    if not preprocessing:
        return 1.0, np.zeros((1, 1, 1), np.float32)
    (only,) = preprocessing
    if only.WhichOneof("preprocessor") != "scaler":
        raise UnknownOperationError("a preprocessing that is not a scaler")
    scaler = only.scaler
    of_channels = {
        "RGB": (scaler.redBias, scaler.greenBias, scaler.blueBias),
        "BGR": (scaler.blueBias, scaler.greenBias, scaler.redBias),
        "GRAYSCALE": (scaler.grayBias,),
    }
    bias = of_channels[image.ColorSpace.Name(image.colorSpace)]
    return scaler.channelScale, np.array(bias, np.float32).reshape(-1, 1, 1)

"""Evaluates a neural network (`.mlmodel`), one layer after the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrain.export.coreml_reference.errors import UnsupportedOperationError
from retrain.export.coreml_reference.layers import LAYERS

# A value of NeuralNetworkMultiArrayShapeMapping and NeuralNetworkImageShapeMapping: arrays have the
# shapes that the file states, and images are [1, channels, height, width].
_EXACT_SHAPES = 1


class NeuralNetwork:
    """A neural network that TensorFlow can trace.

    Attributes:
        labels: Class labels in the order of the probabilities.
    """

    def __init__(self, spec: Any) -> None:
        """Reads the layers and their weights.

        Args:
            spec: A `Model` message with a neural network classifier.

        Raises:
            UnsupportedOperationError: If a layer is not supported.
        """
        network = spec.neuralNetworkClassifier
        self._layers = list(network.layers)
        unsupported = sorted({_kind(layer) for layer in self._layers} - set(LAYERS))
        if unsupported:
            raise UnsupportedOperationError(f"neural network layers {', '.join(unsupported)}")
        if (network.arrayInputShapeMapping, network.imageInputShapeMapping) != (_EXACT_SHAPES,) * 2:
            raise UnsupportedOperationError("a neural network with five-dimensional arrays")
        self._input = spec.description.input[0].name
        self._output = network.labelProbabilityLayerName or self._layers[-1].output[0]
        self._scaler = _scaler(network.preprocessing, spec.description.input[0].type.imageType)
        self.labels = tuple(network.stringClassLabels.vector)

    def __call__(self, image: Any) -> Any:
        """Returns probabilities, float32 [1, classes].

        Args:
            image: Image, float32 [1, channels, height, width], 0 to 255, in the channel order of
                the file.
        """
        scale, bias = self._scaler
        values = {self._input: image * scale + bias}
        for layer in self._layers:
            inputs = [values[name] for name in layer.input]
            kind = _kind(layer)
            (name,) = layer.output
            values[name] = LAYERS[kind](getattr(layer, kind), *inputs)
        return values[self._output]


def _kind(layer: Any) -> str:
    return layer.WhichOneof("layer")


def _scaler(preprocessing: Sequence[Any], image_type: Any) -> tuple[float, np.ndarray]:
    """Returns the factor for an image, and the bias to add to each channel after that."""
    if not preprocessing:
        return 1.0, np.zeros((1, 1, 1), np.float32)
    (step,) = preprocessing
    if step.WhichOneof("preprocessor") != "scaler":
        raise UnsupportedOperationError("preprocessing other than a scaler")
    scaler = step.scaler
    biases = {
        "RGB": (scaler.redBias, scaler.greenBias, scaler.blueBias),
        "BGR": (scaler.blueBias, scaler.greenBias, scaler.redBias),
        "GRAYSCALE": (scaler.grayBias,),
    }
    bias = biases[image_type.ColorSpace.Name(image_type.colorSpace)]
    return scaler.channelScale, np.array(bias, np.float32).reshape(-1, 1, 1)

"""The operations between the layers of a network and its scores that keep heat maps exact."""

from typing import NamedTuple

import numpy as np

# Identifies a tensor of a network: the name of a graph's node, or an index in a TFLite file.
TensorId = str | int


class Forward(NamedTuple):
    """Passes on the values of a tensor in the same order."""

    source: TensorId


class Activation(NamedTuple):
    """Turns logits into scores."""

    source: TensorId


class Affine(NamedTuple):
    """Computes `source * factor + offset`, where both are numbers or arrays [width]."""

    source: TensorId
    factor: np.ndarray
    offset: np.ndarray


class Dense(NamedTuple):
    """Computes `source @ weights + bias`.

    Attributes:
        source: Tensor [N, inputs].
        weights: float32 [inputs, outputs].
        bias: float32 [outputs], or 0.
    """

    source: TensorId
    weights: np.ndarray
    bias: np.ndarray


class Join(NamedTuple):
    """Concatenates tensors along their last axis.

    Attributes:
        sources: The tensors.
        widths: Sizes of their last axes.
    """

    sources: tuple[TensorId, ...]
    widths: tuple[int, ...]


class Sum(NamedTuple):
    """Adds tensors of the same shape."""

    sources: tuple[TensorId, ...]


class SpatialMean(NamedTuple):
    """Computes the mean of each channel of a tensor [N, height, width, channels]."""

    source: TensorId


class Other(NamedTuple):
    """Does something else.

    Attributes:
        description: Kind and name of the operation, for messages.
    """

    description: str


Operation = Forward | Activation | Affine | Dense | Join | Sum | SpatialMean | Other

"""Finds the layers whose means over the image determine the scores of a classifier."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from retrain.heat_maps.operations import (
    Activation,
    Affine,
    Dense,
    Forward,
    Join,
    Operation,
    Other,
    SpatialMean,
    Sum,
    TensorId,
)
from retrain.runtimes.head import Head

Describe = Callable[[TensorId], Operation]

# A network has about ten operations after its last convolution. In a damaged or hostile file, the
# number of paths through them can double with each one.
_MAX_STEPS = 1000


class NoHeatMapError(Exception):
    """There is no exact heat map for a network. The message says why, in one line."""


class PooledLayer(NamedTuple):
    """A layer whose mean over the image is part of the logits.

    Attributes:
        tensor: Output of the layer, [N, height, width, channels].
        weights: float32 [channels, classes].
    """

    tensor: TensorId
    weights: np.ndarray


@dataclasses.dataclass(frozen=True)
class PooledLayers:
    """Logits as a linear function: the sum of `mean(layer) @ weights` over the layers, plus a bias.

    Attributes:
        layers: The layers. There is at least one.
        bias: float32 [classes].
    """

    layers: tuple[PooledLayer, ...]
    bias: np.ndarray


def find_logits(describe: Describe, output: TensorId) -> TensorId:
    """Returns the tensor of the logits, or the output if the scores are not computed from logits.

    Args:
        describe: Function that returns the operation that computes a tensor.
        output: Tensor of the scores.
    """
    tensor = output
    for _ in range(_MAX_STEPS):
        operation = describe(tensor)
        if isinstance(operation, Activation):
            return operation.source
        if isinstance(operation, Forward | Affine):
            tensor = operation.source
        elif isinstance(operation, Sum):
            tensor = operation.sources[0]
        else:
            return output
    return output


def find(
    describe: Describe, tensor: TensorId, head: Head | None = None, *, classes: int = 1
) -> PooledLayers:
    """Finds the layers that determine the logits.

    Args:
        describe: Function that returns the operation that computes a tensor.
        tensor: Tensor of the logits or, if there is a head, of the features.
        head: Head from the features to the logits; None if the network itself computes logits.
        classes: Number of logits, if there is no head.

    Raises:
        NoHeatMapError: If the logits are not a linear function of means over the image.
    """
    # One number per class stands for a diagonal matrix.
    weights: np.ndarray = np.ones(1) if head is None else head.weights.astype(np.float64)
    bias: np.ndarray = np.zeros(classes) if head is None else head.bias.astype(np.float64)
    found: dict[TensorId, np.ndarray] = {}
    pending = [(tensor, weights)]
    for _ in range(_MAX_STEPS):
        if not pending:
            break
        tensor, weights = pending.pop()
        match describe(tensor):
            case Forward(source):
                pending.append((source, weights))
            case Affine(source, factor, offset):
                bias = bias + _apply(offset, weights)
                pending.append((source, _scale(weights, factor)))
            case Dense(source, matrix, offset):
                bias = bias + _apply(offset, weights)
                pending.append((source, _compose(matrix.astype(np.float64), weights)))
            case Join(sources, widths) if weights.ndim == 2 and sum(widths) == len(weights):
                pieces = np.split(weights, np.cumsum(widths)[:-1])
                pending += zip(sources, pieces, strict=True)
            case Sum(sources):
                pending += [(source, weights) for source in sources]
            case SpatialMean(source):
                found[source] = found.get(source, 0) + weights
            case Other(description):
                raise NoHeatMapError(_reason(description))
            case operation:
                raise NoHeatMapError(_reason(type(operation).__name__))
    if pending:
        raise NoHeatMapError(_reason(f"a sum of more than {_MAX_STEPS} terms"))
    return _assemble(found, bias)


def _reason(description: str) -> str:
    return (
        "the network has no exact heat map, because its scores are not a weighted sum of means "
        f"over the image: {description} comes before the scores"
    )


def _scale(weights: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return weights * factor if weights.ndim == 1 else weights * np.reshape(factor, (-1, 1))


def _compose(matrix: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return matrix * weights if weights.ndim == 1 else matrix @ weights


def _apply(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    if weights.ndim == 1:
        return values * weights
    return np.broadcast_to(values, len(weights)) @ weights


def _assemble(found: dict[TensorId, np.ndarray], bias: np.ndarray) -> PooledLayers:
    # A head that does not use a stage has zeros as its weights.
    used = {tensor: weights for tensor, weights in found.items() if weights.any()} or found
    layers = []
    for tensor, weights in used.items():
        matrix = weights if weights.ndim == 2 else np.diag(np.broadcast_to(weights, len(bias)))
        layers.append(PooledLayer(tensor, matrix.astype(np.float32)))
    classes = layers[0].weights.shape[1]
    return PooledLayers(tuple(layers), np.broadcast_to(bias, classes).astype(np.float32))

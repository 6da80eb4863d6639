"""Cuts a network below the first layer that is trained.

What is below the cut never changes, so its results can be computed once and in inference mode.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

# Where images have shrunk by this factor, layers see parts of objects; below, edges and textures.
_SHRINKAGE = 16


class CutNetwork(NamedTuple):
    """A network in two parts, which share their weights with it.

    Attributes:
        bottom: Keras model from normalised pixels, float32 [N, height, width, 3], to activations,
            or None if the whole network is trained.
        top: Keras model from activations, or from pixels if there is no `bottom`, to features,
            float32 [N, feature_width].
    """

    bottom: Any | None
    top: Any


def cut_below_training(network: Any) -> CutNetwork:
    """Cuts a Keras model at the last place below all trainable layers.

    Args:
        network: Keras model whose layers are trainable or not.
    """
    from tensorflow import keras

    steps = _steps(network)
    first = next(i for i, step in enumerate(steps) if getattr(step, "trainable_weights", ()))
    possible = [place for place in _places(network) if place < first]
    if not possible:
        return CutNetwork(None, network)
    middle = steps[possible[-1]].output
    bottom = keras.Model(network.inputs[0], middle)
    return CutNetwork(bottom, keras.Model(middle, network.outputs[0]))


def last_stages(network: Any) -> Sequence[Any]:
    """Returns the layers above the place where images have shrunk to a sixteenth of their height.

    Of several places, this is the one with the smallest activations. If there is none, these are
    all layers.

    Args:
        network: Keras model from float32 [N, height, width, 3].
    """
    steps = _steps(network)
    limit = -(-network.input_shape[1] // _SHRINKAGE)
    shapes = {place: steps[place].output.shape for place in _places(network)}
    small = {place: shape for place, shape in shapes.items() if _is_image(shape, limit)}
    if not small:
        return network.layers
    height = max(shape[1] for shape in small.values())
    sizes = {place: math.prod(shape[1:]) for place, shape in small.items() if shape[1] == height}
    above = min(sizes, key=lambda place: (sizes[place], place)) + 1
    return [step for step in steps[above:] if step in network.layers]


def _is_image(shape: tuple[int | None, ...], max_height: int) -> bool:
    return len(shape) == 4 and shape[1] is not None and 1 < shape[1] <= max_height


def _steps(network: Any) -> list[Any]:
    """Returns the layers, and operations without a layer, in the order of their computation."""
    # A sequential model has no operations without a layer.
    return getattr(network, "operations", network.layers)


def _places(network: Any) -> list[int]:
    """Returns the indices of the steps whose output is all that the steps above depend on.

    Networks that contain other networks, or use a layer twice, have no such places.
    """
    import tensorflow as tf

    steps = _steps(network)
    if any(hasattr(step, "layers") or len(step._inbound_nodes) != 1 for step in steps):
        return []
    producers = {id(step.output): index for index, step in enumerate(steps)}
    # A sequential model does not list its input layer.
    producers = {**dict.fromkeys(map(id, network.inputs), 0), **producers}
    last_use = [0] * len(steps)
    for index, step in enumerate(steps):
        for tensor in tf.nest.flatten(step.input):
            last_use[producers[id(tensor)]] = index
    for tensor in tf.nest.flatten(network.outputs):
        last_use[producers[id(tensor)]] = len(steps)
    places, furthest, has_weights = [], 0, False
    for index, step in enumerate(steps[:-1]):
        has_weights = has_weights or bool(getattr(step, "weights", ()))
        # What the steps below this one produce is used up here at the latest.
        if furthest <= index and has_weights:
            places.append(index)
        furthest = max(furthest, last_use[index])
    return places

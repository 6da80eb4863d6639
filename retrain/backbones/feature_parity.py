"""Checks that the files of a backbone compute the same features as the original network."""

from collections.abc import Callable
from typing import Any

import numpy as np

from retrain.errors import UserError
from retrain.metadata import GRAPH_BOTTLENECK, GRAPH_PIXELS_INPUT
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.litert import LiteRTModel

# Maximum difference relative to the largest feature. Rounding in a deep network causes about a
# hundredth of that.
_TOLERANCE = 1e-3
# Some networks amplify tiny differences. Their tolerance is a small multiple of the change in the
# features that a change of this size in the pixels causes.
_PIXEL_CHANGE = 1e-6
_PIXEL_CHANGE_FACTOR = 4
# Two images are enough to show whether the images of a batch influence each other.
_IMAGES = 2


class ConversionError(Exception):
    """A file computes different features, because of a defect in this program or a converter."""


def check(
    features: Callable[[np.ndarray], Any],
    size: tuple[int, int],
    *,
    graph: bytes,
    tflite: bytes | None,
    name: str = "the network",
    tensor: str = GRAPH_BOTTLENECK,
) -> None:
    """Compares files with the original network on images of noise.

    Args:
        features: Original network, from float32 [N, height, width, 3], normalised, to float32
            [N, feature_width].
        size: Height and width of the input images in pixels.
        graph: GraphDef with the tensors that `freeze.to_graph` lists.
        tflite: TFLite file for one image, or None if there is no such file.
        name: Name of the network for error messages.
        tensor: Name of the tensor with the features in the graph.

    Raises:
        ConversionError: If a file computes different features.
        UserError: If the features of the network are not finite.
    """
    rng = np.random.default_rng(0)
    pixels = rng.uniform(-1, 1, (_IMAGES, *size, 3)).astype(np.float32)
    expected = np.asarray(features(pixels))
    # The signs are random, as those of rounding errors.
    change = (_PIXEL_CHANGE * rng.choice([-1, 1], pixels.shape)).astype(np.float32)
    changed = np.asarray(features(pixels + change))
    if not np.isfinite([expected, changed]).all():
        raise UserError(
            f"{name} computes features that are not finite numbers, so its weights are damaged; "
            "choose another network or file"
        )
    tolerance = max(
        _TOLERANCE * float(np.abs(expected).max()),
        _PIXEL_CHANGE_FACTOR * float(np.abs(changed - expected).max()),
    )

    def compare(actual: np.ndarray, kind: str) -> None:
        if actual.shape != expected.shape or not np.abs(actual - expected).max() <= tolerance:
            raise ConversionError(f"the {kind} computes different features from {name}")

    # The graph was made from a network that has been checked already.
    with GraphSession(graph, trust_model=True) as session:
        compare(session.run(tensor, {GRAPH_PIXELS_INPUT: pixels}), "graph")
    if tflite is not None:
        model = LiteRTModel(tflite)
        compare(np.concatenate([model.run(image[np.newaxis]) for image in pixels]), "TFLite file")

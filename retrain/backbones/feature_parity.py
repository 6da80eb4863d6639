"""The proof that the files of a backbone hold the network that they were made from."""

from collections.abc import Callable
from typing import Any

import numpy as np

from retrain.errors import UserError
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.litert import LiteRTModel

# Of the largest feature; rounding in a deep network makes a hundredth of it.
_TOLERANCE = 1e-3
# Some networks make much of the smallest differences. Theirs are compared with what so little of
# a change of the pixels makes.
_CHANGE = 1e-6
_TIMES_THE_CHANGE = 4
# Enough to see that images do not get into each other's way.
_IMAGES = 2


class ConversionError(Exception):
    """A file computes something else: a defect of this program, or of a converter."""


def check(
    features: Callable[[np.ndarray], Any],
    size: tuple[int, int],
    graph: bytes,
    flatbuffer: bytes | None,
    name: str = "the network",
) -> None:
    """Compares the files with the network on images of noise.

    Args:
        features: of the network: float32 [N, height, width, 3], normalised, to [N, feature_width].
        size: height and width.
        graph: as `freeze.to_graph` makes it.
        flatbuffer: as `freeze.to_flatbuffer` makes it, if there is one.
        name: of the network, for the user.

    Raises:
        ConversionError: they differ.
        UserError: the network gives no features that anything could be learned from.
    """
    rng = np.random.default_rng(0)
    pixels = rng.uniform(-1, 1, (_IMAGES, *size, 3)).astype(np.float32)
    expected = np.asarray(features(pixels))
    # This way and that, as rounding does.
    change = (_CHANGE * rng.choice([-1, 1], pixels.shape)).astype(np.float32)
    changed = np.asarray(features(pixels + change))
    if not np.isfinite([expected, changed]).all():
        raise UserError(
            f"{name} gives features that are not finite numbers, but nan or inf, so that nothing "
            "can be learned from them; its weights are damaged: take another network or file"
        )
    difference = float(np.abs(changed - expected).max())
    most = max(_TOLERANCE * float(np.abs(expected).max()), _TIMES_THE_CHANGE * difference)

    def compare(found: np.ndarray, what: str) -> None:
        if found.shape != expected.shape or not np.abs(found - expected).max() <= most:
            raise ConversionError(f"the {what} computes other features than the network")

    with GraphSession(graph) as session:
        compare(session.run("bottleneck:0", {"input:0": pixels}), "graph")
    if flatbuffer is not None:
        model = LiteRTModel(flatbuffer)
        found = np.concatenate([model.run(image[np.newaxis]) for image in pixels])
        compare(found, "TFLite file")

"""The files of a backbone, made from a Keras model and proven to hold it."""

from pathlib import Path
from typing import Any

from retrain.backbones import freeze, prepared, same_features


def write(network: Any, description: prepared.Description, folder: Path) -> None:
    """Writes all files of a backbone to a folder.

    Args:
        network: a Keras model of Keras's own layers, from float32 [N, height, width, 3],
            normalised, to [N, feature_width].
        description: of the backbone.
        folder: where to, as `prepared.backbone` gives it.

    Raises:
        ConversionError: a file would hold another network.
        UserError: its features are not finite.
    """
    graph = freeze.to_graph(
        network, description.mean, description.std, description.channel_order
    ).SerializeToString(deterministic=True)
    flatbuffer = freeze.to_flatbuffer(network)
    size = (description.height, description.width)
    same_features.check(
        lambda pixels: network(pixels, training=False),
        size,
        graph,
        flatbuffer,
        description.name,
    )
    (folder / prepared.GRAPH).write_bytes(graph)
    (folder / prepared.FLATBUFFER).write_bytes(flatbuffer)
    network.save(folder / prepared.KERAS)

"""The files of a backbone, made from a Keras model and proven to hold it."""

from pathlib import Path
from typing import Any

from retrain.backbones import backbone_cache, feature_parity, freeze


def write_keras(network: Any, description: backbone_cache.BackboneInfo, folder: Path) -> None:
    """Writes all files of a backbone to a folder.

    Args:
        network: a Keras model of Keras's own layers, from float32 [N, height, width, 3],
            normalised, to [N, feature_width].
        description: of the backbone.
        folder: where to, as `backbone_cache.backbone` gives it.

    Raises:
        ConversionError: a file would hold another network.
        UserError: its features are not finite.
    """
    graph = freeze.to_graph(
        network, description.mean, description.std, description.channel_order
    ).SerializeToString(deterministic=True)
    flatbuffer = freeze.to_tflite(network)
    size = (description.height, description.width)
    feature_parity.check(
        lambda pixels: network(pixels, training=False),
        size,
        graph,
        flatbuffer,
        description.name,
    )
    (folder / backbone_cache.GRAPH_FILE).write_bytes(graph)
    (folder / backbone_cache.TFLITE_FILE).write_bytes(flatbuffer)
    network.save(folder / backbone_cache.KERAS_FILE)

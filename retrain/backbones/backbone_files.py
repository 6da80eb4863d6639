"""Writes the files of a backbone after checking that they compute the original features."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from retrain.backbones import backbone_cache, feature_parity, freeze, tflite_conversion
from retrain.backbones.backbone import BackboneInfo, features_tensor


def write_keras(model: Any, info: BackboneInfo, folder: Path) -> None:
    """Writes the graph, the TFLite file and the Keras file of a backbone.

    Args:
        model: Keras model from float32 [N, height, width, 3], normalised, to float32
            [N, feature_width], made of Keras layers.
        info: Description of the backbone.
        folder: Folder that `backbone_cache.load_or_prepare` provides.

    Raises:
        ConversionError: If a file would compute different features.
        UserError: If the features are not finite.
    """
    graph = freeze.to_graph(model, info.mean, info.std, channel_order=info.channel_order)
    tflite = tflite_conversion.convert_keras(model)
    _write(
        lambda pixels: model(pixels, training=False),
        graph,
        tflite,
        info,
        folder=folder,
        name=info.name,
    )
    model.save(folder / backbone_cache.KERAS_FILE)


def write_graph(
    network: freeze.GraphSlice,
    single_image_function: Any,
    info: BackboneInfo,
    *,
    features: Callable[[np.ndarray], Any],
    folder: Path,
    name: str,
) -> None:
    """Writes the graph of a backbone, and the TFLite file if TFLite supports the network.

    Args:
        network: Network for any number of images.
        single_image_function: The same network as a concrete function of one image.
        info: Description of the backbone.
        features: Original network, to compare with; see `feature_parity.check`.
        folder: Folder that `backbone_cache.load_or_prepare` provides.
        name: Name of the network for error messages.

    Raises:
        ConversionError: If a file would compute different features.
        UserError: If the features are not finite.
    """
    graph = freeze.add_preprocessing(network, freeze.InputSpec.of(info))
    tflite = tflite_conversion.convert_if_supported(single_image_function)
    _write(features, graph, tflite, info, folder=folder, name=name)


def _write(
    features: Callable[[np.ndarray], Any],
    graph: Any,
    tflite: bytes | None,
    info: BackboneInfo,
    *,
    folder: Path,
    name: str,
) -> None:
    serialised = graph.SerializeToString(deterministic=True)
    size = (info.height, info.width)
    feature_parity.check(
        features,
        size,
        graph=serialised,
        tflite=tflite,
        name=name,
        tensor=features_tensor(info.stage_widths),
    )
    (folder / backbone_cache.GRAPH_FILE).write_bytes(serialised)
    if tflite is not None:
        (folder / backbone_cache.TFLITE_FILE).write_bytes(tflite)

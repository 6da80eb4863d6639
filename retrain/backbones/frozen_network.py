"""Cuts the network between two layers out of a frozen graph, and writes its files."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retrain.backbones import backbone_files, freeze, graph_layout, graph_surgery
from retrain.backbones.backbone import BackboneInfo
from retrain.backbones.graph_layout import Layout
from retrain.errors import UserError
from retrain.metadata import GRAPH_BOTTLENECK
from retrain.runtimes.graph_session import GraphSession
from retrain.system.text import first_line


class FrozenNetwork(NamedTuple):
    """A network that was cut out of a graph.

    Attributes:
        graph_slice: The network, for any number of images.
        feature_width: Number of values in a bottleneck.
    """

    graph_slice: freeze.GraphSlice
    feature_width: int


def cut(graph: Any, layout: Layout, file: Path) -> FrozenNetwork:
    """Returns the part of a graph between its input layer and its bottleneck layer.

    Args:
        graph: GraphDef that TensorFlow can load.
        layout: Layers and input images of the network.
        file: Path of the graph, for messages.

    Raises:
        UserError: If the layers cannot be used, or the network does not take such images.
    """
    start = graph_surgery.follow_identities(graph, layout.input_layer)
    end = layout.bottleneck_layer
    size = (layout.height, layout.width)
    try:
        part = graph_surgery.extract_between(graph, start, end)
    except graph_surgery.CutError as error:
        raise UserError(
            f"--bottleneck_layer={end} of the graph {file} cannot be used: {error}; name other "
            "layers with --input_layer and --bottleneck_layer"
        ) from error
    graph_surgery.replace_legacy_operations(part)
    graph_surgery.make_portable(part)
    try:
        shapes = dict(graph_surgery.infer_shapes(part, f"{start}:0", size))
    except ValueError as error:
        raise UserError(
            f"the graph {file} does not accept images of {layout.height} x {layout.width} pixels "
            f"at --input_layer={layout.input_layer} ({first_line(error)}); set --input_height "
            "and --input_width, or another --input_layer"
        ) from error
    width = graph_layout.vector_width(shapes.get(end))
    if not width:
        others = graph_layout.find_vector_layers(graph, layout.input_layer, size)
        examples = f", such as {', '.join(others)}" if others else ""
        raise UserError(
            f"--bottleneck_layer={end} of the graph {file} must compute one vector for each image, "
            f"but its shape is {shapes.get(end)}; name another layer{examples}"
        )
    if len(shapes[end]) != 2:
        end = graph_surgery.append_flatten(part, end, width)
    _check_names(part, end, file)
    graph_slice = freeze.GraphSlice(
        part, f"{start}:0", f"{end}:0", scope="", extra_input=layout.input_layer
    )
    return FrozenNetwork(graph_slice, width)


def write_files(
    session: GraphSession,
    layout: Layout,
    graph_slice: freeze.GraphSlice,
    info: BackboneInfo,
    *,
    folder: Path,
) -> None:
    """Writes the files of a backbone.

    Args:
        session: The whole graph, whose features the files must compute.
        layout: Layers and input images of the network.
        graph_slice: The network.
        info: Description of the backbone.
        folder: Folder that `backbone_cache.load_or_prepare` provides.

    Raises:
        ConversionError: If a file would compute different features.
        UserError: If the features are not finite.
    """

    def features(images: np.ndarray) -> np.ndarray:
        # Old graphs accept only one image at a time.
        rows = (
            session.run(f"{layout.bottleneck_layer}:0", {f"{layout.input_layer}:0": image[None]})
            for image in images
        )
        return np.concatenate([np.reshape(row, (1, -1)) for row in rows])

    backbone_files.write_graph(
        graph_slice,
        _single_image_function(graph_slice, (layout.height, layout.width)),
        info,
        features=features,
        folder=folder,
        name=f"--bottleneck_layer={layout.bottleneck_layer} of the graph {info.name}",
    )


def _check_names(part: Any, end: str, file: Path) -> None:
    """Raises UserError if a node has a name that the preprocessing in front of it needs."""
    reserved = set(freeze.RESERVED_NAMES)
    if end == GRAPH_BOTTLENECK:
        reserved.remove(end)
    for node in part.node:
        if node.name.partition("/")[0] in reserved:
            raise UserError(
                f"the graph {file} has a node {node.name} between its layers, but that name is "
                "reserved; name an --input_layer after that node"
            )


def _single_image_function(graph_slice: freeze.GraphSlice, size: tuple[int, int]) -> Any:
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    def run(pixels: Any) -> Any:
        feeds = {graph_slice.start: pixels}
        return tf.import_graph_def(graph_slice.graph, feeds, [graph_slice.end], name="")[0]

    wrapped = tf.compat.v1.wrap_function(run, [tf.TensorSpec((1, *size, 3), tf.float32)])
    return convert_to_constants.convert_variables_to_constants_v2(wrapped)

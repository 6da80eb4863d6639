"""Finds the layers of a network in a frozen graph, and the input images that it expects."""

import contextlib
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from retrain.backbones import graph_surgery
from retrain.config import BackboneOptions
from retrain.errors import UserError
from retrain.metadata import GRAPH_BOTTLENECK, GRAPH_PIXELS_INPUTS, Metadata, MetadataError
from retrain.runtimes.graph_def import find_metadata

_MAX_LISTED = 6

_Channels = tuple[float, float, float]
_Value = TypeVar("_Value")


class Layout(NamedTuple):
    """The layers of a network in a graph, and the input images that it expects.

    Attributes:
        input_layer: Name of the node that pixels are fed to.
        bottleneck_layer: Name of the node whose output is the bottlenecks.
        height: Height of the input images in pixels.
        width: Width of the input images in pixels.
        mean: Mean to subtract from each input channel, in units of 0 to 255.
        std: Standard deviation to divide each channel by after that, in units of 0 to 255.
        channel_order: Order of the input channels, "RGB" or "BGR".
    """

    input_layer: str
    bottleneck_layer: str
    height: int
    width: int
    mean: _Channels
    std: _Channels
    channel_order: str


class PartialLayout(NamedTuple):
    """Fields of a Layout that are known without the user's options. None stands for unknown."""

    input_layer: str | None = None
    bottleneck_layer: str | None = None
    height: int | None = None
    width: int | None = None
    mean: _Channels | None = None
    std: _Channels | None = None
    channel_order: str = "RGB"


_INCEPTION_2015 = PartialLayout(
    input_layer="Mul",
    bottleneck_layer="pool_3/_reshape",
    height=299,
    width=299,
    mean=(128.0, 128.0, 128.0),
    std=(128.0, 128.0, 128.0),
)
_MOBILENET_V1 = PartialLayout(
    input_layer="input",
    bottleneck_layer="MobilenetV1/Predictions/Reshape",
    mean=(127.5, 127.5, 127.5),
    std=(127.5, 127.5, 127.5),
)
# Graphs that the last version of the original retrain.py made from TensorFlow Hub modules.
_HUB_MODULE = PartialLayout(
    input_layer="Placeholder",
    bottleneck_layer="module_apply_default/hub_output/feature_vector/SpatialSqueeze",
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
)
_KNOWN_LAYOUTS = (_INCEPTION_2015, _MOBILENET_V1, _HUB_MODULE)


def find_layout(graph: Any, options: BackboneOptions, file: Path) -> Layout:
    """Combines the user's options, the metadata in a graph and the layouts of well-known graphs.

    Args:
        graph: GraphDef that TensorFlow can load.
        options: User's options, which override everything else.
        file: Path of the graph, for error messages.

    Raises:
        UserError: If a field is unknown, or if a layer is not in the graph.
    """
    names = {node.name for node in graph.node}
    known = _layout_in_metadata(graph) or _well_known_layout(names) or PartialLayout()
    start = graph_surgery.node_name(options.input_layer or known.input_layer or "")
    if start not in names:
        inputs = [node.name for node in graph.node if node.op.startswith("Placeholder")]
        raise _missing_layer("input_layer", start, file, inputs)
    stated_height, stated_width = _stated_size(graph, start)
    height = _required("input_height", options.input_height or known.height or stated_height, file)
    width = _required("input_width", options.input_width or known.width or stated_width, file)
    mean = _required("input_mean", options.input_mean or known.mean, file)
    std = _required("input_std", options.input_std or known.std, file)
    end = graph_surgery.node_name(options.bottleneck_layer or known.bottleneck_layer or "")
    if end not in names:
        candidates = find_vector_layers(graph, start, (height, width))
        raise _missing_layer("bottleneck_layer", end, file, candidates)
    return Layout(
        input_layer=start,
        bottleneck_layer=end,
        height=height,
        width=width,
        mean=mean,
        std=std,
        channel_order=known.channel_order,
    )


def find_vector_layers(graph: Any, start: str, size: tuple[int, int]) -> list[str]:
    """Returns the names of the last few nodes that compute one vector for each image.

    Args:
        graph: GraphDef that TensorFlow can load.
        start: Name of the node that pixels are fed to.
        size: Height and width of the images in pixels.
    """
    with contextlib.suppress(ValueError):
        layers = graph_surgery.infer_shapes(graph, f"{start}:0", size)
        return [name for name, shape in layers if vector_width(shape)][-_MAX_LISTED:]
    return []


def vector_width(shape: list[int | None] | None) -> int | None:
    """Returns the width of the vectors in [N, width] or [N, 1, 1, width], None for other shapes."""
    if shape and (len(shape) == 2 or (len(shape) == 4 and shape[1:3] == [1, 1])):
        return shape[-1]
    return None


def is_fine_tuned(graph: Any) -> bool:
    """Returns whether the network in a graph was fine-tuned, according to the graph's metadata.

    That includes graphs whose backbone was fine-tuned by an earlier run.
    """
    metadata = _read_metadata(graph)
    return metadata is not None and "fine_tuned" in metadata.training


def stated_fit(graph: Any) -> str | None:
    """Returns how a graph resizes images, according to its metadata. None if it has none."""
    metadata = _read_metadata(graph)
    return metadata.fit if metadata else None


def _layout_in_metadata(graph: Any) -> PartialLayout | None:
    metadata = _read_metadata(graph)
    if metadata is None:
        return None
    return PartialLayout(
        input_layer=GRAPH_PIXELS_INPUTS[-1],
        bottleneck_layer=GRAPH_BOTTLENECK,
        height=metadata.height,
        width=metadata.width,
        mean=metadata.mean,
        std=metadata.std,
        channel_order=metadata.channel_order,
    )


def _read_metadata(graph: Any) -> Metadata | None:
    with contextlib.suppress(MetadataError):
        return find_metadata(graph)
    return None


def _well_known_layout(names: set[str]) -> PartialLayout | None:
    for layout in _KNOWN_LAYOUTS:
        if {layout.input_layer, layout.bottleneck_layer} <= names:
            return layout
    return None


def _missing_layer(flag: str, name: str, file: Path, candidates: list[str]) -> UserError:
    choice = f"; it has {', '.join(candidates[:_MAX_LISTED])}" if candidates else ""
    if name:
        return UserError(f"--{flag}={name} is not in the graph {file}{choice}")
    return UserError(f"--{flag} is needed, because the graph {file} has no known layout{choice}")


def _required(flag: str, value: _Value | None, file: Path) -> _Value:
    if value is None:
        raise UserError(
            f"--{flag} is needed, because the graph {file} does not describe its input images"
        )
    return value


def _stated_size(graph: Any, layer: str) -> tuple[int | None, int | None]:
    """Returns the height and width in the shape attribute of a node, or None for both."""
    (node,) = (node for node in graph.node if node.name == layer)
    sizes = [dimension.size for dimension in node.attr["shape"].shape.dim]
    if len(sizes) != 4 or min(sizes[1:3]) < 1:
        return None, None
    return sizes[1], sizes[2]

"""What must be known of a frozen graph to cut the network out of it."""

import contextlib
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from retrain import metadata
from retrain.backbones import freeze, graph_surgery
from retrain.config import BackboneOptions
from retrain.errors import UserError

_NAMED_AT_MOST = 6

_Three = tuple[float, float, float]
_Value = TypeVar("_Value")


class Layout(NamedTuple):
    """A network in a graph; `mean`, `std` and `channel_order` are as of a Backbone.

    Attributes:
        input_layer: name of the node that takes pixels.
        bottleneck_layer: name of the node that the bottlenecks come from.
        height: of the images, in pixels.
        width: of the images, in pixels.
    """

    input_layer: str
    bottleneck_layer: str
    height: int
    width: int
    mean: _Three
    std: _Three
    channel_order: str


class _Said(NamedTuple):
    """What is known without the user; None of what is not."""

    input_layer: str | None = None
    bottleneck_layer: str | None = None
    height: int | None = None
    width: int | None = None
    mean: _Three | None = None
    std: _Three | None = None
    channel_order: str = "RGB"


_KNOWN = (
    # The Inception archive of 2015.
    _Said("Mul", "pool_3/_reshape", 299, 299, (128.0, 128.0, 128.0), (128.0, 128.0, 128.0)),
    # The original's MobileNets.
    _Said(
        "input",
        "MobilenetV1/Predictions/Reshape",
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
    ),
    # The original's last version, with modules of TensorFlow Hub.
    _Said(
        "Placeholder",
        "module_apply_default/hub_output/feature_vector/SpatialSqueeze",
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
    ),
)


def find(graph: Any, options: BackboneOptions, file: Path) -> Layout:
    """Returns the layout that the options and the graph say.

    Args:
        graph: a GraphDef that TensorFlow has loaded.
        options: win over what the graph says.
        file: that the graph is from.

    Raises:
        UserError: something neither of them says, or a layer is not there.
    """
    names = {node.name for node in graph.node}
    said = _said_by(graph) or _known(names) or _Said()
    start = graph_surgery.node_name(options.input_layer or said.input_layer or "")
    if start not in names:
        inputs = [node.name for node in graph.node if node.op.startswith("Placeholder")]
        raise _missing("input_layer", start, file, inputs)
    stated_height, stated_width = _size_at(graph, start)
    height = _needed("height", options.input_height or said.height or stated_height, file)
    width = _needed("width", options.input_width or said.width or stated_width, file)
    mean = _needed("mean", options.input_mean or said.mean, file)
    std = _needed("std", options.input_std or said.std, file)
    end = graph_surgery.node_name(options.bottleneck_layer or said.bottleneck_layer or "")
    if end not in names:
        raise _missing("bottleneck_layer", end, file, vectors(graph, start, (height, width)))
    return Layout(start, end, height, width, mean, std, said.channel_order)


def vectors(graph: Any, start: str, size: tuple[int, int]) -> list[str]:
    """Returns the last few nodes of one vector for each image of that height and width."""
    with contextlib.suppress(ValueError):
        layers = graph_surgery.shapes(graph, f"{start}:0", size)
        return [name for name, shape in layers if vector_width(shape)][-_NAMED_AT_MOST:]
    return []


def vector_width(shape: list[int | None] | None) -> int | None:
    """Returns the width of a vector for each image, None where the shape is another."""
    if shape and (len(shape) == 2 or (len(shape) == 4 and shape[1:3] == [1, 1])):
        return shape[-1]
    return None


def _said_by(graph: Any) -> _Said | None:
    """Returns what a graph that this program wrote says of itself."""
    said = _metadata(graph)
    if said is None:
        return None
    return _Said(
        *(freeze.INPUTS[-1], freeze.BOTTLENECK, said.height, said.width),
        *(said.mean, said.std, said.channel_order),
    )


def fine_tuned(graph: Any) -> bool:
    """Tells whether a graph says of itself that its network has learned from images.

    The run that wrote it may have fine-tuned it, or have been given a network that was.
    """
    said = _metadata(graph)
    return said is not None and "fine_tuned" in said.training


def _metadata(graph: Any) -> metadata.Metadata | None:
    for node in graph.node:
        if node.name == metadata.GRAPH_NODE:
            with contextlib.suppress(metadata.MetadataError):
                return metadata.from_json(b"".join(node.attr["value"].tensor.string_val))
    return None


def _known(names: set[str]) -> _Said | None:
    for said in _KNOWN:
        if {said.input_layer, said.bottleneck_layer} <= names:
            return said
    return None


def _missing(flag: str, name: str, file: Path, candidates: list[str]) -> UserError:
    choice = f"; it has {', '.join(candidates[:_NAMED_AT_MOST])}" if candidates else ""
    if name:
        return UserError(f"--{flag}={name} is not in the graph {file}{choice}")
    return UserError(f"--{flag} is needed: the graph {file} is of no kind that is known{choice}")


def _needed(flag: str, value: _Value | None, file: Path) -> _Value:
    if value is None:
        raise UserError(
            f"--input_{flag} is needed: the graph {file} does not say which images it takes"
        )
    return value


def _size_at(graph: Any, layer: str) -> tuple[int | None, int | None]:
    """Returns height and width where the layer states them."""
    (node,) = (node for node in graph.node if node.name == layer)
    sizes = [dimension.size for dimension in node.attr["shape"].shape.dim]
    if len(sizes) != 4 or min(sizes[1:3]) < 1:
        return None, None
    return sizes[1], sizes[2]

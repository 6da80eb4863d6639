"""Runs exported frozen graphs without TensorFlow.

The largest part of an exported graph is a backbone. If the backbone comes with this program, it is
also available as a TFLite file, which LiteRT runs in a fraction of the time that TensorFlow takes
to load.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from retrain.metadata import GRAPH_BOTTLENECK, GRAPH_FEATURES, GRAPH_NODE, GRAPH_PIXELS_INPUT
from retrain.runtimes.graph_def import find_metadata, parse_graph, read_constant
from retrain.runtimes.head import Head
from retrain.runtimes.litert import LiteRTModel, LiteRTRuntime
from retrain.runtimes.preprocessing import Preprocessing
from retrain.runtimes.runtime import (
    NO_OVERRIDES,
    Description,
    NetworkOverrides,
    Outputs,
    Runtime,
    describe,
)

# The operations that `retrain.export.frozen_graph` appends to the graph of a backbone.
_APPENDED = ["Const", "Const", "Const", "MatMul", "BiasAdd", "Softmax"]

_DT_INT32 = 3
# The attributes of a backbone's operations that have default values, by name.
_DEFAULTS: dict[str, Callable[[Any], bool]] = {
    "Tidx": lambda value: value.type == _DT_INT32,
    "Tshape": lambda value: value.type == _DT_INT32,
    "data_format": lambda value: value.s == b"NHWC",
    "dilations": lambda value: list(value.list.i) == [1, 1, 1, 1],
    "explicit_paddings": lambda value: not value.list.i,
    "keep_dims": lambda value: not value.b,
    "squeeze_dims": lambda value: not value.list.i,
    "use_cudnn_on_gpu": lambda value: value.b,
}


class KnownBackbone(Protocol):
    """A backbone that is available as a frozen graph and as a TFLite file."""

    @property
    def graph_file(self) -> Path:
        """File with the GraphDef that exported graphs begin with."""

    @property
    def feature_width(self) -> int:
        """Number of values that the TFLite file computes."""

    @property
    def bottleneck_width(self) -> int:
        """Number of the first of these values that are the bottleneck."""

    def read_tflite(self) -> bytes:
        """Returns the content of the TFLite file."""


FindBackbone = Callable[[str], KnownBackbone | None]


class KnownGraphRuntime(Runtime):
    """Runs a known backbone in LiteRT, and a head on its features.

    Attributes:
        backbone: Network from pixels to features.
        head: Head from features to probabilities.
    """

    def __init__(self, backbone: LiteRTRuntime, head: Head, description: Description) -> None:
        """Joins a backbone and a head.

        Args:
            backbone: Network from pixels to features.
            head: Head from features to probabilities.
            description: Properties of the classifier that the graph states.
        """
        self.description = description
        self.backbone = backbone
        self.head = head

    def predict(self, pixels: np.ndarray) -> Outputs:
        """Returns the probabilities, float32 [N, classes], and the familiarity of images."""
        features = self.backbone.run(pixels)
        familiarity = self.description.familiarity
        return Outputs(
            self.head.probabilities(features),
            None if familiarity is None else familiarity.scores(features),
        )

    def close(self) -> None:
        """Frees the memory of the backbone."""
        self.backbone.close()


def load(
    graph: Any, find_backbone: FindBackbone, *, overrides: NetworkOverrides = NO_OVERRIDES
) -> Runtime | None:
    """Loads the classifier in a GraphDef if its backbone is known.

    All nodes from the pixels to the features are compared with those of the backbone, since the
    graph can have been changed after its metadata was written. The nodes that decode files do not
    matter: this runtime gets pixels, and other versions of this program decode in other ways.

    Args:
        graph: The GraphDef.
        find_backbone: Function that returns the known backbone of a name, or None.
        overrides: The user's settings. Only `mean` and `std` are used.

    Returns:
        None if only TensorFlow can run the graph.

    Raises:
        ModelError: If LiteRT cannot run the backbone.
        MetadataError: If the metadata in the graph cannot be read.
    """
    metadata = find_metadata(graph)
    backbone = find_backbone(metadata.backbone) if metadata else None
    if metadata is None or backbone is None:
        return None
    original = parse_graph(backbone.graph_file.read_bytes())
    # Graphs of versions without features of earlier stages have a head for the bottleneck.
    if _has_node(graph, GRAPH_FEATURES):
        features, width = GRAPH_FEATURES, backbone.feature_width
    else:
        features, width = GRAPH_BOTTLENECK, backbone.bottleneck_width
    head = _read_head(graph.node[-len(_APPENDED) :], features, metadata.output)
    if head is None or len(head.weights) != width:
        return None
    if not _is_same_network(graph, original, features):
        return None
    preprocessing = Preprocessing.of(metadata).override(overrides.mean, overrides.std)
    network = LiteRTRuntime(LiteRTModel(backbone.read_tflite()), preprocessing, width=width)
    return KnownGraphRuntime(network, head, describe(metadata))


def _has_node(graph: Any, name: str) -> bool:
    return any(node.name == name for node in graph.node)


def _is_same_network(graph: Any, original: Any, features: str) -> bool:
    """Returns whether two graphs compute the same features from the same pixels.

    Args:
        graph: A GraphDef.
        original: Another one.
        features: Name of the node with the features.
    """
    nodes, others = ({node.name: node for node in g.node} for g in (graph, original))
    if len(nodes) != len(graph.node):
        return False
    pending, visited = [features], set()
    while pending:
        name = pending.pop()
        if name in visited:
            continue
        visited.add(name)
        node, other = nodes.get(name), others.get(name)
        if node is None or other is None or not _is_same_operation(node, other):
            return False
        if name != GRAPH_PIXELS_INPUT:
            if node.input != other.input:
                return False
            pending += [source.lstrip("^").partition(":")[0] for source in node.input]
    return True


def _is_same_operation(node: Any, other: Any) -> bool:
    common = node.attr.keys() & other.attr.keys()
    return (
        node.op == other.op
        and all(node.attr[name] == other.attr[name] for name in common)
        and all(_is_default(name, value) for name, value in _extra_attributes(node, other))
        and all(_is_default(name, value) for name, value in _extra_attributes(other, node))
    )


def _extra_attributes(node: Any, other: Any) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in node.attr.items() if name not in other.attr]


def _is_default(name: str, value: Any) -> bool:
    """Returns whether an attribute has its default value, which graphs can leave out."""
    return name in _DEFAULTS and _DEFAULTS[name](value)


def _read_head(nodes: Any, features: str, output: str) -> Head | None:
    """Returns the softmax layer that the nodes compute, or None if they compute anything else.

    Args:
        nodes: Nodes of a graph.
        features: Name of the node that the layer must get its input from.
        output: Name that the output must have.
    """
    if [node.op for node in nodes] != _APPENDED or nodes[0].name != GRAPH_NODE:
        return None
    _, weights_node, bias_node, product, logits, softmax = nodes
    inputs = [list(node.input) for node in (product, logits, softmax)]
    expected = [
        [features, weights_node.name],
        [product.name, bias_node.name],
        [logits.name],
    ]
    # Attributes such as `transpose_a` would change what a node computes.
    plain = all(set(node.attr) == {"T"} for node in (product, logits, softmax))
    if inputs != expected or not plain or softmax.name != output:
        return None
    weights, bias = read_constant(weights_node), read_constant(bias_node)
    if weights is None or bias is None or weights.ndim != 2 or weights.shape[1:] != bias.shape:
        return None
    return Head(weights, bias)

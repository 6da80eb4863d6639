"""Runs exported frozen graphs without TensorFlow.

The largest part of an exported graph is a backbone. If the backbone comes with this program, it is
also available as a TFLite file, which LiteRT runs in a fraction of the time that TensorFlow takes
to load.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from retrain.metadata import GRAPH_BOTTLENECK, GRAPH_NODE
from retrain.runtimes.graph_def import find_metadata, parse_graph, read_constant
from retrain.runtimes.head import Head
from retrain.runtimes.litert import LiteRTModel, LiteRTRuntime
from retrain.runtimes.preprocessing import Preprocessing
from retrain.runtimes.runtime import NO_OVERRIDES, Description, NetworkOverrides, Runtime

# The operations that `retrain.export.frozen_graph` appends to the graph of a backbone.
_APPENDED = ["Const", "Const", "Const", "MatMul", "BiasAdd", "Softmax"]


class KnownBackbone(Protocol):
    """A backbone that is available as a frozen graph and as a TFLite file."""

    @property
    def graph_file(self) -> Path:
        """File with the GraphDef that exported graphs begin with."""

    def read_tflite(self) -> bytes:
        """Returns the content of the TFLite file."""


FindBackbone = Callable[[str], KnownBackbone | None]


class KnownGraphRuntime(Runtime):
    """Runs a known backbone in LiteRT, and a head on its features."""

    def __init__(self, backbone: LiteRTRuntime, head: Head, description: Description) -> None:
        """Joins a backbone and a head.

        Args:
            backbone: Network from pixels to features.
            head: Head from features to probabilities.
            description: What the graph says about the classifier.
        """
        self.description = description
        self._backbone = backbone
        self._head = head

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, classes], probabilities, for uint8 [N, height, width, 3], RGB."""
        return self._head.probabilities(self._backbone.run(pixels))

    def close(self) -> None:
        """Frees the memory of the backbone."""
        self._backbone.close()


def load(
    graph: Any, find_backbone: FindBackbone, overrides: NetworkOverrides = NO_OVERRIDES
) -> Runtime | None:
    """Loads the classifier in a GraphDef if its backbone is known.

    All nodes are compared with those of the backbone, since the graph can have been changed after
    its metadata was written.

    Args:
        graph: The GraphDef.
        find_backbone: Function that returns the known backbone of a name, or None.
        overrides: What the user says about the preprocessing.

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
    if not _starts_with(graph, original):
        return None
    head = _read_head(graph.node[len(original.node) :], metadata.output)
    if head is None:
        return None
    preprocessing = Preprocessing.of(metadata).override(overrides.mean, overrides.std)
    network = LiteRTRuntime(LiteRTModel(backbone.read_tflite()), preprocessing)
    description = Description(metadata.labels, metadata.height, metadata.width)
    return KnownGraphRuntime(network, head, description)


def _starts_with(graph: Any, original: Any) -> bool:
    """Returns whether the first nodes of `graph` are all nodes of `original`."""
    first = graph.node[: len(original.node)]
    return (
        graph.versions == original.versions
        and graph.library == original.library
        and len(first) == len(original.node)
        and all(node == other for node, other in zip(first, original.node, strict=True))
    )


def _read_head(nodes: Any, output: str) -> Head | None:
    """Returns the softmax layer that the nodes compute, or None if they compute anything else."""
    if [node.op for node in nodes] != _APPENDED or nodes[0].name != GRAPH_NODE:
        return None
    _, weights, bias, product, logits, softmax = nodes
    inputs = [list(node.input) for node in (product, logits, softmax)]
    expected = [[GRAPH_BOTTLENECK, weights.name], [product.name, bias.name], [logits.name]]
    # Attributes such as `transpose_a` would change what a node computes.
    plain = all(set(node.attr) == {"T"} for node in (product, logits, softmax))
    if inputs != expected or not plain or softmax.name != output:
        return None
    values = read_constant(weights), read_constant(bias)
    if values[0] is None or values[1] is None:
        return None
    return Head(values[0], values[1])

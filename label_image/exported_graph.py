"""Frozen graphs that retrain wrote, run without TensorFlow.

Their largest part is the network of a backbone, which comes with the program as a TFLite file, too.
LiteRT runs that in a fraction of the time that TensorFlow takes to be loaded.
"""

from typing import Any

import numpy as np

from retrain.backbones import registry
from retrain.backbones.backbone import Backbone
from retrain.metadata import GRAPH_NODE, Metadata
from retrain.runtimes.graph_constants import floats, metadata_in
from retrain.runtimes.graph_session import GraphError, parse_graph
from retrain.runtimes.head import Head
from retrain.runtimes.litert import LiteRTError, LiteRTModel
from retrain.runtimes.runtime import Description
from retrain.system.threads import processors

# What retrain.export.frozen_graph appends to a backbone.
_APPENDED = ["Const", "Const", "Const", "MatMul", "BiasAdd", "Softmax"]
_BOTTLENECK = "bottleneck"


def load(graph: Any) -> "ExportedGraph | None":
    """Returns the classifier in a GraphDef, or None where only TensorFlow can tell what it answers.

    Whatever the metadata says, each node is compared: somebody may have changed the graph since.

    Raises:
        MetadataError: what it says of itself cannot be read.
    """
    metadata = metadata_in(graph)
    if metadata is None or metadata.backbone not in registry.bundled_names():
        return None
    backbone = registry.load(metadata.backbone)
    original = parse_graph(backbone.graph_file.read_bytes())
    appended = graph.node[len(original.node) :]
    if not _same_nodes(graph, original):
        return None
    head = _head(appended, metadata.output)
    return ExportedGraph(metadata, backbone, head) if head else None


class ExportedGraph:
    """A Runtime for the network of a known backbone with a head behind it."""

    takes_files = False
    batch_size = 1

    def __init__(self, metadata: Metadata, backbone: Backbone, head: Head) -> None:
        """Loads the backbone's network.

        Raises:
            GraphError: LiteRT cannot run it.
        """
        self.description = Description.of(metadata)
        self.workers = processors()
        self._head = head
        try:
            self._model = LiteRTModel(backbone.read_tflite())
        except LiteRTError as error:
            raise GraphError(str(error)) from error

    def classify_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, classes] for float32 [N, height, width, 3], normalised."""
        try:
            features = np.concatenate([self._model.run(p[np.newaxis]) for p in pixels])
        except LiteRTError as error:
            raise GraphError(str(error)) from error
        return self._head.probabilities(features)

    def classify_file(self, data: bytes) -> np.ndarray:
        """Raises GraphError: it takes pixels alone."""
        raise GraphError("it takes pixels, not files")


def _same_nodes(graph: Any, original: Any) -> bool:
    """Tells whether `graph` begins with all of `original`."""
    first = graph.node[: len(original.node)]
    return (
        graph.versions == original.versions
        and graph.library == original.library
        and len(first) == len(original.node)
        and all(mine == theirs for mine, theirs in zip(first, original.node, strict=True))
    )


def _head(nodes: Any, output: str) -> Head | None:
    """Returns the softmax layer that the nodes are, or None where they are anything else."""
    if [node.op for node in nodes] != _APPENDED or nodes[0].name != GRAPH_NODE:
        return None
    _, weights, bias, product, logits, softmax = nodes
    inputs = [list(node.input) for node in (product, logits, softmax)]
    expected = [[_BOTTLENECK, weights.name], [product.name, bias.name], [logits.name]]
    plain = all(set(node.attr) == {"T"} for node in (product, logits, softmax))
    if inputs != expected or not plain or softmax.name != output:
        return None
    values = floats(weights), floats(bias)
    if values[0] is None or values[1] is None:
        return None
    return Head(values[0], values[1])

"""Writes a classifier as a frozen graph, which every TensorFlow since 2015 can run."""

import re
from pathlib import Path

import numpy as np

from retrain.backbones import backbone_graph, freeze
from retrain.errors import UserError
from retrain.export import familiarity_graph
from retrain.export.assemble import TrainedClassifier
from retrain.export.graph_nodes import GraphNodes
from retrain.metadata import GRAPH_FEATURES, GRAPH_NODE

# Names in TensorFlow's examples/image_retraining.
_WEIGHTS = "final_training_ops/weights/final_weights"
_BIASES = "final_training_ops/biases/final_biases"
_PRODUCT = "final_training_ops/Wx_plus_b/MatMul"
_LOGITS = "final_training_ops/Wx_plus_b/add"

# Nodes and scopes that the output cannot be named after.
_RESERVED = {
    *freeze.RESERVED_NAMES,
    "backbone",
    GRAPH_FEATURES,
    _WEIGHTS.split("/")[0],
    GRAPH_NODE,
}

_VALID_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")


def check_output_name(name: str) -> None:
    """Raises UserError if the output cannot have this name."""
    if not _VALID_NAME.fullmatch(name):
        raise UserError(
            f"--final_tensor_name={name} is not a valid TensorFlow name; use letters, digits and, "
            "after the first character, . _ / -"
        )
    if name.split("/")[0] in _RESERVED:
        raise UserError(
            f"--final_tensor_name={name} is the name of another tensor; choose another name"
        )


def to_bytes(classifier: TrainedClassifier) -> bytes:
    """Returns the GraphDef of the backbone with the head and the metadata appended.

    In addition to the backbone's tensors (see `backbones.freeze.to_graph`), the graph has the
    output, float32 [N, classes], probabilities, with the name in the metadata, and the metadata as
    the string constant GRAPH_NODE. If the classifier has a familiarity, the graph also has the
    tensor GRAPH_FAMILIARITY, float32 [N].

    Raises:
        UserError: If the backbone already has a tensor with the name of the output.
    """
    graph = backbone_graph.load(classifier.backbone)
    metadata = classifier.metadata
    if any(node.name == metadata.output for node in graph.node):
        raise UserError(
            f"--final_tensor_name={metadata.output} is the name of another tensor in "
            f"{classifier.backbone.name}; choose another name"
        )
    # Programs find the head in the last six nodes.
    if classifier.familiarity:
        features = classifier.backbone.features_tensor
        familiarity_graph.add(graph, classifier.familiarity, features)
    nodes = GraphNodes(graph)
    nodes.constant(GRAPH_NODE, np.array(metadata.to_json().encode(), object))
    nodes.constant(_WEIGHTS, classifier.head.weights)
    nodes.constant(_BIASES, classifier.head.bias)
    nodes.add("MatMul", _PRODUCT, [classifier.backbone.features_tensor, _WEIGHTS])
    nodes.add("BiasAdd", _LOGITS, [_PRODUCT, _BIASES])
    nodes.add("Softmax", metadata.output, [_LOGITS])
    return bytes(graph.SerializeToString(deterministic=True))


def write(path: Path, classifier: TrainedClassifier) -> None:
    """Writes the graph that `to_bytes` returns."""
    path.write_bytes(to_bytes(classifier))

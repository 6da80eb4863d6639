"""A classifier as a frozen graph: one file that every TensorFlow since 2015 can run."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain.errors import UserError
from retrain.export.assemble import Classifier
from retrain.export.metadata import GRAPH_NODE
from retrain.graph_session import GraphError, GraphSession, parse_graph, tensorflow_session

_BOTTLENECK = "bottleneck"
# The names that the original gave them.
_WEIGHTS = "final_training_ops/weights/final_weights"
_BIASES = "final_training_ops/biases/final_biases"
_PRODUCT = "final_training_ops/Wx_plus_b/MatMul"
_LOGITS = "final_training_ops/Wx_plus_b/add"

_TAKEN = {
    *("DecodeJpeg", "Mul", "Placeholder", "backbone", "bottleneck", "decode", "final_training_ops"),
    *("input", "preprocess", GRAPH_NODE),
}

# Float32 arithmetic in another order, and rounding of pixels before it.
_HEAD_TOLERANCE = 1e-4
_PICTURE_TOLERANCE = 2e-2

_VALID_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")


class DisagreementError(Exception):
    """The file answers something else than what was tested: a defect of this program."""


def check_output_name(name: str) -> None:
    """Raises UserError where `name` could not be that of the output."""
    if not _VALID_NAME.fullmatch(name):
        raise UserError(
            f"--final_tensor_name={name} is not a name that TensorFlow allows: letters, digits "
            "and . _ / - in the middle"
        )
    if name.split("/")[0] in _TAKEN:
        raise UserError(f"--final_tensor_name={name} is the name of another tensor; choose another")


def to_bytes(classifier: Classifier) -> bytes:
    """Returns the GraphDef: the backbone's with the head and the metadata appended.

    Beside the backbone's tensors (`backbones.freeze.to_graph`) it has the output, float32
    [N, classes], softmax, under the name in the metadata, and the string constant
    `retrain_metadata`.
    """
    graph = parse_graph(classifier.backbone.graph_file.read_bytes())
    metadata = classifier.metadata
    _add_constant(graph, GRAPH_NODE, np.array(metadata.to_json().encode(), object))
    _add_constant(graph, _WEIGHTS, classifier.head.weights)
    _add_constant(graph, _BIASES, classifier.head.bias)
    _add(graph, "MatMul", _PRODUCT, [_BOTTLENECK, _WEIGHTS])
    _add(graph, "BiasAdd", _LOGITS, [_PRODUCT, _BIASES])
    _add(graph, "Softmax", metadata.output, [_LOGITS])
    return graph.SerializeToString(deterministic=True)


def _add(graph: Any, operation: str, name: str, inputs: list[str]) -> Any:
    node = graph.node.add(op=operation, name=name, input=inputs)
    node.attr["T"].type = tensorflow_session().types_pb2.DT_FLOAT
    return node


def _add_constant(graph: Any, name: str, value: np.ndarray) -> None:
    tensor = tensorflow_session().tensor_util.make_tensor_proto(value)
    node = graph.node.add(op="Const", name=name)
    node.attr["dtype"].type = tensor.dtype
    node.attr["value"].tensor.CopyFrom(tensor)


def check(
    path: Path, classifier: Classifier, features: np.ndarray, pictures: Sequence[Path]
) -> None:
    """Proves that the graph in a file answers as the head that was tested.

    Args:
        path: of the graph.
        classifier: what it was made from.
        features: float16 or float32 [N, feature_width], of the pictures.
        pictures: files, which the graph is to decode itself. A few are enough.

    Raises:
        DisagreementError: it does not.
    """
    expected = classifier.head.probabilities(features)
    output = f"{classifier.metadata.output}:0"
    with GraphSession(path.read_bytes()) as session:
        answers = session.run(output, {f"{_BOTTLENECK}:0": features.astype(np.float32)})
        difference = float(np.abs(answers - expected).max(initial=0.0))
        if not difference <= _HEAD_TOLERANCE:
            raise DisagreementError(f"scores from bottlenecks differ by {difference:.2g}")
        _check_pictures(session, output, pictures, expected)


def _check_pictures(
    session: GraphSession, output: str, pictures: Sequence[Path], expected: np.ndarray
) -> None:
    differences = []
    for picture, scores in zip(pictures, expected, strict=True):
        try:
            answer = session.run(output, {"DecodeJpeg/contents:0": picture.read_bytes()})
        except (GraphError, OSError) as error:
            logging.info("%s is of a kind that only programs with Pillow read: %s", picture, error)
            continue
        differences.append(float(np.abs(answer[0] - scores).max()))
        if not differences[-1] <= _PICTURE_TOLERANCE:
            logging.warning(
                "%s is decoded differently inside the graph: scores differ by %.2g; feed pixels "
                "(input:0) for files of its kind",
                *(picture, differences[-1]),
            )
    if differences and not np.median(differences) <= _PICTURE_TOLERANCE:
        raise DisagreementError(f"scores from files differ by {np.median(differences):.2g}")

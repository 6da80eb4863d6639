"""Reads constants out of a frozen graph without TensorFlow."""

from typing import Any

import numpy as np

from retrain.metadata import GRAPH_NODE, Metadata, from_json


def metadata_in(graph: Any) -> Metadata | None:
    """Returns what a GraphDef says of itself, None where it says nothing.

    Raises:
        MetadataError: what it says cannot be read.
    """
    for node in graph.node:
        if node.name == GRAPH_NODE:
            return from_json(b"".join(node.attr["value"].tensor.string_val))
    return None


def floats(node: Any) -> np.ndarray | None:
    """Returns the value of a Const node of float32, or None where it is written in another way.

    A TensorProto holds the bytes of its numbers or, where they are few, the numbers:
    https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/tensor.proto
    """
    tensor = node.attr["value"].tensor
    shape = tuple(dimension.size for dimension in tensor.tensor_shape.dim)
    values = np.frombuffer(tensor.tensor_content, "<f4")
    if not len(values):
        values = np.array(tensor.float_val, np.float32)
    return values.reshape(shape) if values.size == np.prod(shape) else None

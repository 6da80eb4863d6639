"""Reads GraphDefs, the content of frozen graphs, without running them."""

import math
from typing import Any

import numpy as np

from retrain.metadata import GRAPH_NODE, Metadata, from_json
from retrain.runtimes.runtime import ModelError
from retrain.runtimes.tensorflow_import import import_lazily


def parse_graph(data: bytes) -> Any:
    """Parses the content of a file as a GraphDef.

    Raises:
        ModelError: If the content is not a GraphDef.
    """
    from google.protobuf.message import DecodeError

    import_lazily()
    from tensorflow.core.framework import graph_pb2

    graph = graph_pb2.GraphDef()
    try:
        graph.ParseFromString(data)
    except DecodeError as error:
        raise ModelError("it has another format") from error
    if not graph.node:
        raise ModelError("it has no nodes")
    return graph


def full_tensor_name(name: str) -> str:
    """Returns the name of a tensor. The name of a node stands for the node's first output."""
    return name if ":" in name else f"{name}:0"


def find_metadata(graph: Any) -> Metadata | None:
    """Returns the metadata in a GraphDef, or None if it has none.

    Raises:
        MetadataError: If the metadata cannot be read.
    """
    for node in graph.node:
        if node.name == GRAPH_NODE:
            return from_json(b"".join(node.attr["value"].tensor.string_val))
    return None


def read_constant(node: Any) -> np.ndarray | None:
    """Returns the value of a float32 Const node, or None if it is encoded in another way.

    A TensorProto holds its numbers as bytes, or one by one if they are few:
    https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/tensor.proto
    """
    tensor = node.attr["value"].tensor
    shape = tuple(dimension.size for dimension in tensor.tensor_shape.dim)
    if len(tensor.tensor_content) % 4 or min(shape, default=0) < 0:
        return None
    values = np.frombuffer(tensor.tensor_content, "<f4")
    if not len(values):
        values = np.array(tensor.float_val, np.float32)
    return values.reshape(shape) if values.size == math.prod(shape) else None

"""Makes tensors inside a TFLite file outputs of the network, without unpacking the file."""

import struct
from collections.abc import Sequence

from retrain.runtimes import tflite_schema
from retrain.runtimes.flatbuffer_table import FlatbufferError, FlatbufferTable

_ALIGNMENT = 4


def add_output(data: bytes, name: str) -> bytes | None:
    """Returns a TFLite file that has the named tensor as a second output.

    Args:
        data: Content of a TFLite file with one output.
        name: Name of the tensor.

    Returns:
        None if the network has not one output, or no tensor with that name.

    Raises:
        FlatbufferError: If the file is damaged.
    """
    subgraph = _main_subgraph(data)
    names = [tensor.text("name") for tensor in subgraph.tables("tensors", "Tensor")]
    outputs = subgraph.integers("outputs")
    if len(outputs) != 1 or names.count(name) != 1:
        return None
    return replace_outputs(data, [outputs[0], names.index(name)])


def replace_outputs(data: bytes, tensors: Sequence[int]) -> bytes:
    """Returns a TFLite file whose outputs are the given tensors.

    The list of outputs is replaced by one at the end of the file: references in a flatbuffer can
    lead to any later place.

    Args:
        data: Content of a TFLite file.
        tensors: Indices of the tensors.

    Raises:
        FlatbufferError: If the file is damaged.
    """
    reference = _main_subgraph(data).position("outputs")
    padding = -len(data) % _ALIGNMENT
    start = len(data) + padding
    if not reference or start - reference >= 2**31:
        raise FlatbufferError("it has no outputs or is too large")
    content = bytearray(data)
    struct.pack_into("<I", content, reference, start - reference)
    content += bytes(padding) + struct.pack(f"<I{len(tensors)}i", len(tensors), *tensors)
    return bytes(content)


def _main_subgraph(data: bytes) -> FlatbufferTable:
    model = FlatbufferTable.root(data, "Model", tflite_schema.MODEL_FIELDS)
    subgraphs = model.tables("subgraphs", "SubGraph")
    if not subgraphs:
        raise FlatbufferError("it has no network")
    return subgraphs[0]

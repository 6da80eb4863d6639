"""Makes a tensor inside a TFLite file an output of the network, without unpacking the file."""

import struct

from retrain.runtimes import tflite_schema
from retrain.runtimes.flatbuffer_table import FlatbufferError, FlatbufferTable

_ALIGNMENT = 4


def add_output(data: bytes, name: str) -> bytes | None:
    """Returns a TFLite file that has the named tensor as a second output.

    The list of outputs is replaced by a longer one at the end of the file: references in a
    flatbuffer can lead to any later place.

    Args:
        data: Content of a TFLite file with one output.
        name: Name of the tensor.

    Returns:
        None if the network has not one output, or no tensor with that name.

    Raises:
        FlatbufferError: If the file is damaged.
    """
    model = FlatbufferTable.root(data, "Model", tflite_schema.MODEL_FIELDS)
    for subgraph in model.tables("subgraphs", "SubGraph")[:1]:
        names = [tensor.text("name") for tensor in subgraph.tables("tensors", "Tensor")]
        outputs = subgraph.integers("outputs")
        if len(outputs) != 1 or names.count(name) != 1:
            return None
        reference = subgraph.position("outputs")
        padding = -len(data) % _ALIGNMENT
        start = len(data) + padding
        if start - reference >= 2**31:
            raise FlatbufferError("it is too large")
        content = bytearray(data)
        struct.pack_into("<I", content, reference, start - reference)
        content += bytes(padding) + struct.pack("<Iii", 2, outputs[0], names.index(name))
        return bytes(content)
    return None

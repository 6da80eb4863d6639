"""Builds a trivial TFLite model, and lists the operators and the metadata of any."""

import io
import zipfile
from typing import NamedTuple

import flatbuffers

from retrain.metadata import METADATA_FILE, Metadata, from_json


class Operator(NamedTuple):
    """An operator of a TFLite file.

    Attributes:
        name: Name of the operator in the schema, such as CONV_2D.
        version: Version of the operator.
        types: Names of the types of its tensors, such as INT8.
    """

    name: str
    version: int
    types: set[str]


def identity(
    shape: tuple[int, ...], dtype: str = "float32", *, scale: float = 0.0, zero_point: int = 0
) -> bytes:
    """Returns a model without operators, whose only tensor is both input and output.

    Args:
        shape: Shape of the tensor.
        dtype: Name of its dtype.
        scale: Scale of the tensor if it is quantised.
        zero_point: Zero point of the tensor if it is quantised.
    """
    from ai_edge_litert import schema_py_generated as schema

    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = "tensor", list(shape), 0
    tensor.type = getattr(schema.TensorType, dtype.upper())
    if scale:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [tensor], [0], [0], []
    model = schema.ModelT()
    model.version, model.operatorCodes = 3, []
    model.subgraphs, model.buffers = [graph], [schema.BufferT()]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def operators(flatbuffer: bytes) -> list[Operator]:
    """Returns the operators in execution order."""
    from ai_edge_litert import schema_py_generated as schema

    names, types = (_names_by_value(e) for e in (schema.BuiltinOperator, schema.TensorType))
    model = schema.ModelT.InitFromPackedBuf(flatbuffer)
    (graph,) = model.subgraphs
    result = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        # A missing optional input has the index -1.
        indices = [n for n in (*operator.inputs, *operator.outputs) if n >= 0]
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        used = {types[graph.tensors[index].type] for index in indices}
        result.append(Operator(name, code.version, used))
    return result


def float_operators(flatbuffer: bytes) -> list[str]:
    """Returns the names of the operators with a floating-point tensor, in execution order."""
    return [o.name for o in operators(flatbuffer) if any("FLOAT" in t for t in o.types)]


def read_metadata(flatbuffer: bytes) -> Metadata:
    """Returns the metadata of this program in the archive after the model."""
    with zipfile.ZipFile(io.BytesIO(flatbuffer)) as archive:
        return from_json(archive.read(METADATA_FILE))


def _names_by_value(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}

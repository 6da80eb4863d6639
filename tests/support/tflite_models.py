"""Builds a trivial TFLite model, adds metadata, and lists the operators and metadata of any."""

import io
import zipfile
from collections.abc import Sequence
from typing import NamedTuple

import flatbuffers
import numpy as np

from retrain.export.tflite_editor import EditableModel
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


def with_tflite_metadata(
    flatbuffer: bytes,
    *,
    normalizations: Sequence[tuple[Sequence[float], Sequence[float]]] = (),
    files: Sequence[tuple[str, int]] = (),
) -> bytes:
    """Returns a model with metadata as other programs write them, built by the field numbers.

    https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs

    Args:
        flatbuffer: The model.
        normalizations: Mean and std of each step of the normalisation of the input.
        files: Name and AssociatedFileType of each file that belongs to the output.
    """
    builder = flatbuffers.Builder()

    def table(size: int, offsets: dict[int, int], *numbers: tuple[str, int, int]) -> int:
        builder.StartObject(size)
        for kind, field, value in numbers:
            getattr(builder, f"Prepend{kind}Slot")(field, value, 0)
        for field, offset in offsets.items():
            builder.PrependUOffsetTRelativeSlot(field, offset, 0)
        return builder.EndObject()

    def tables(offsets: list[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    def floats(values: Sequence[float]) -> int:
        return builder.CreateNumpyVector(np.array(values, np.float32))

    units = [
        table(2, {1: table(2, {0: floats(mean), 1: floats(std)})}, ("Uint8", 0, 1))
        for mean, std in normalizations
    ]
    named = [table(5, {0: builder.CreateString(name)}, ("Int8", 2, kind)) for name, kind in files]
    tensor_in, tensor_out = table(7, {4: tables(units)}), table(7, {6: tables(named)})
    graph = table(9, {2: tables([tensor_in]), 3: tables([tensor_out])})
    builder.Finish(table(8, {3: tables([graph])}), b"M001")
    return with_buffer(flatbuffer, "TFLITE_METADATA", bytes(builder.Output()))


def with_buffer(flatbuffer: bytes, name: str, content: bytes) -> bytes:
    """Returns a model with a named buffer."""
    model = EditableModel(flatbuffer)
    model.add_metadata(name, content)
    return model.to_bytes()


def _names_by_value(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}

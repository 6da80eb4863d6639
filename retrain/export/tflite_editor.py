"""Changes networks in TFLite files: adds operators before and behind those that are there.

The format: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flatbuffers
import numpy as np

_IDENTIFIER = b"TFL3"
# The schema wants the bytes of a tensor there; processors read them faster.
_ALIGNMENT = 16

SIGNATURE = "serving_default"
INPUT = "image"
OUTPUT = "probabilities"

# Of the schema's TensorType.
_TYPES = {"float32": 0, "int32": 2, "int64": 4, "uint8": 3, "int16": 7, "int8": 9}

_OPTIONS = {
    "ADD": "AddOptions",
    "CONV_2D": "Conv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "MUL": "MulOptions",
    "SOFTMAX": "SoftmaxOptions",
}


class Scale(NamedTuple):
    """What quantised numbers mean: `(number - zero_point) * scale`.

    Attributes:
        scale: of the whole tensor.
        zero_point: the number that stands for 0.
    """

    scale: float
    zero_point: int = 0


class Tensor(NamedTuple):
    """A tensor that is in the network.

    Attributes:
        number: of it in the network.
        shape: of it.
        scale: what its numbers mean, where they are quantised and have one scale.
    """

    number: int
    shape: tuple[int, ...]
    scale: Scale | None


class Network:
    """A network of one input and one output."""

    def __init__(self, flatbuffer: bytes) -> None:
        """Reads a TFLite file that LiteRT has accepted."""
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._model = schema.ModelT.InitFromPackedBuf(flatbuffer)
        (self._graph,) = self._model.subgraphs
        for buffer in self._model.buffers:
            if buffer.offset > 1:  # Some programs put the bytes behind the tables.
                content = flatbuffer[buffer.offset : buffer.offset + buffer.size]
                buffer.data = np.frombuffer(content, np.uint8)
                buffer.offset = buffer.size = 0

    @property
    def input(self) -> Tensor:
        """The tensor that takes the image."""
        (number,) = self._graph.inputs
        return self._tensor(number)

    @property
    def output(self) -> Tensor:
        """The tensor that the last operator computes."""
        (number,) = self._graph.outputs
        return self._tensor(number)

    def add_constant(self, name: str, value: np.ndarray, scale: Scale | None = None) -> Tensor:
        """Adds a tensor that holds `value`."""
        buffer = self._add_buffer(value.tobytes())
        return self._add_tensor(name, value.dtype.name, value.shape, scale, buffer)

    def append(
        self,
        operator: str,
        version: int,
        inputs: Sequence[Tensor],
        output: tuple[str, str, tuple[int, ...], Scale | None],
        **options: Any,
    ) -> Tensor:
        """Adds an operator behind the others and returns what it computes, the new output.

        Args:
            operator: its name in the schema, such as FULLY_CONNECTED.
            version: the first of its versions that does what is asked of it.
            inputs: of it, constants included.
            output: name, dtype, shape and scale of what it computes.
            options: what the schema's table for the operator has, by their names in Python.
        """
        result = self._add_tensor(*output)
        added = self._operator(operator, version, inputs, result, options)
        self._graph.operators = [*self._graph.operators, added]
        self._graph.outputs = [result.number]
        return result

    def prepend(
        self,
        operator: str,
        version: int,
        new_input: tuple[str, str, tuple[int, ...], Scale | None],
        constants: Sequence[Tensor] = (),
        **options: Any,
    ) -> Tensor:
        """Adds an operator that turns a new input into the one there was; returns the new one.

        Args:
            operator: as for `append`.
            version: as for `append`.
            new_input: name, dtype, shape and scale of the new input.
            constants: that the operator takes besides.
            options: as for `append`.
        """
        result = self._add_tensor(*new_input)
        added = self._operator(operator, version, [result, *constants], self.input, options)
        self._graph.operators = [added, *self._graph.operators]
        self._graph.inputs = [result.number]
        return result

    def add_metadata(self, name: str, content: bytes) -> None:
        """Adds bytes which only programs look at that know the name."""
        entry = self._schema.MetadataT()
        entry.name, entry.buffer = name, self._add_buffer(content)
        self._model.metadata = [*(self._model.metadata or []), entry]

    def operators(self) -> list[tuple[str, set[str]]]:
        """Returns each operator's name, and the names of the types of its tensors, in order."""
        names = _names(self._schema.BuiltinOperator)
        types = _names(self._schema.TensorType)
        result = []
        for operator in self._graph.operators:
            code = self._model.operatorCodes[operator.opcodeIndex]
            tensors = [n for n in (*operator.inputs, *operator.outputs) if n >= 0]
            used = {types[self._graph.tensors[number].type] for number in tensors}
            result.append((names[max(code.builtinCode, code.deprecatedBuiltinCode)], used))
        return result

    def to_bytes(self) -> bytes:
        """Returns the TFLite file, with one signature."""
        signature = self._schema.SignatureDefT()
        signature.signatureKey = SIGNATURE
        signature.inputs = [self._named(INPUT, self.input)]
        signature.outputs = [self._named(OUTPUT, self.output)]
        self._model.signatureDefs = [signature]
        builder = _AligningBuilder()
        builder.Finish(self._model.Pack(builder), _IDENTIFIER)
        return bytes(builder.Output())

    def _tensor(self, number: int) -> Tensor:
        found = self._graph.tensors[number]
        numbers, scale = found.quantization, None
        if numbers is not None and numbers.scale is not None and len(numbers.scale) == 1:
            scale = Scale(float(numbers.scale[0]), int(numbers.zeroPoint[0]))
        return Tensor(int(number), tuple(int(n) for n in found.shape), scale)

    def _add_tensor(
        self, name: str, dtype: str, shape: Sequence[int], scale: Scale | None, buffer: int = 0
    ) -> Tensor:
        tensor = self._schema.TensorT()
        tensor.name, tensor.type, tensor.shape = name, _TYPES[dtype], list(shape)
        tensor.buffer = buffer
        if scale is not None:
            tensor.quantization = self._schema.QuantizationParametersT()
            tensor.quantization.scale = [scale.scale]
            tensor.quantization.zeroPoint = [scale.zero_point]
        self._graph.tensors = [*self._graph.tensors, tensor]
        return self._tensor(len(self._graph.tensors) - 1)

    def _add_buffer(self, content: bytes) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        self._model.buffers = [*self._model.buffers, buffer]
        return len(self._model.buffers) - 1

    def _operator(
        self,
        name: str,
        version: int,
        inputs: Sequence[Tensor],
        output: Tensor,
        options: Mapping[str, Any],
    ) -> Any:
        result = self._schema.OperatorT()
        result.opcodeIndex = self._add_code(getattr(self._schema.BuiltinOperator, name), version)
        result.inputs, result.outputs = [t.number for t in inputs], [output.number]
        if table := _OPTIONS.get(name):
            result.builtinOptionsType = getattr(self._schema.BuiltinOptions, table)
            result.builtinOptions = getattr(self._schema, f"{table}T")()
            for key, value in options.items():
                setattr(result.builtinOptions, key, value)
        return result

    def _add_code(self, builtin: int, version: int) -> int:
        code = self._schema.OperatorCodeT()
        code.builtinCode, code.version = builtin, version
        # What runtimes before 2.4 read, in which there is room for 127 of them.
        code.deprecatedBuiltinCode = min(builtin, 127)
        self._model.operatorCodes = [*self._model.operatorCodes, code]
        return len(self._model.operatorCodes) - 1

    def _named(self, name: str, tensor: Tensor) -> Any:
        self._graph.tensors[tensor.number].name = name
        result = self._schema.TensorMapT()
        result.name, result.tensorIndex = name, tensor.number
        return result


class _AligningBuilder(flatbuffers.Builder):
    """Aligns the bytes of tensors, which the generated code in Python forgets."""

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802 (a method of the base class)
        self.Prep(_ALIGNMENT, x.nbytes)
        return super().CreateNumpyVector(x)


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}

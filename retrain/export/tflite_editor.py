"""Edits TFLite files: inserts operators before the first and after the last one.

The format: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from retrain.metadata import OUTPUT, PIXELS_INPUT, PIXELS_SIGNATURE
from retrain.runtimes import tflite_packing

# Values of the schema's TensorType.
_TYPES = {"float32": 0, "int32": 2, "uint8": 3, "int64": 4, "int16": 7, "int8": 9}

# Names of the schema's option tables.
_OPTIONS = {
    "ADD": "AddOptions",
    "CONV_2D": "Conv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "MUL": "MulOptions",
    "SOFTMAX": "SoftmaxOptions",
}


class Quantisation(NamedTuple):
    """Quantisation parameters of a whole tensor: value = (integer - zero_point) * scale.

    Attributes:
        scale: Difference between the values of two successive integers.
        zero_point: Integer that represents 0.
    """

    scale: float
    zero_point: int = 0


class NewTensor(NamedTuple):
    """A tensor to add to a model.

    Attributes:
        name: Name of the tensor.
        dtype: Name of its NumPy dtype, such as "int8".
        shape: Shape of the tensor.
        quantisation: Its quantisation parameters, if it is quantised.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    quantisation: Quantisation | None = None


@dataclasses.dataclass(frozen=True)
class TensorRef:
    """A tensor of a model.

    Attributes:
        index: Index of the tensor in the model.
        shape: Shape of the tensor.
        quantisation: Its quantisation parameters; None if it is not quantised, or if each channel
            has its own.
    """

    index: int
    shape: tuple[int, ...]
    quantisation: Quantisation | None


class EditableModel:
    """A TFLite model with one input and one output."""

    def __init__(self, flatbuffer: bytes) -> None:
        """Parses a TFLite file that LiteRT is known to accept."""
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._model = tflite_packing.parse(flatbuffer)
        (self._graph,) = self._model.subgraphs

    @property
    def input(self) -> TensorRef:
        """The model's input."""
        (index,) = self._graph.inputs
        return self._tensor(index)

    @property
    def output(self) -> TensorRef:
        """The model's output."""
        (index,) = self._graph.outputs
        return self._tensor(index)

    def add_constant(
        self, name: str, value: np.ndarray, *, quantisation: Quantisation | None = None
    ) -> TensorRef:
        """Adds a constant tensor."""
        tensor = NewTensor(name, value.dtype.name, value.shape, quantisation)
        return self._add_tensor(tensor, buffer=self._add_buffer(value.tobytes()))

    def append(
        self,
        operator: str,
        inputs: Sequence[TensorRef],
        output: NewTensor,
        *,
        version: int = 1,
        **options: Any,
    ) -> TensorRef:
        """Appends an operator, whose result becomes the model's output.

        Args:
            operator: Name of the operator in the schema, such as FULLY_CONNECTED.
            inputs: Inputs of the operator, including constants.
            output: The new output.
            version: Lowest version of the operator that supports these inputs and options.
            **options: Fields of the schema's option table for the operator.

        Returns:
            The new output.
        """
        result = self._add_tensor(output)
        added = self._operator(operator, inputs, result, version=version, options=options)
        self._graph.operators = [*self._graph.operators, added]
        self._graph.outputs = [result.index]
        return result

    def prepend(
        self,
        operator: str,
        new_input: NewTensor,
        *,
        constants: Sequence[TensorRef] = (),
        version: int = 1,
        **options: Any,
    ) -> TensorRef:
        """Prepends an operator that computes the model's present input from a new input.

        Args:
            operator: Name of the operator in the schema, such as CONV_2D.
            new_input: The new input.
            constants: Inputs of the operator after the new input.
            version: Lowest version of the operator that supports these inputs and options.
            **options: Fields of the schema's option table for the operator.

        Returns:
            The new input.
        """
        result = self._add_tensor(new_input)
        added = self._operator(
            operator, [result, *constants], self.input, version=version, options=options
        )
        self._graph.operators = [added, *self._graph.operators]
        self._graph.inputs = [result.index]
        return result

    def name_output(self, name: str) -> None:
        """Gives the tensor that is now the output a name, which it keeps when others follow."""
        self._graph.tensors[self.output.index].name = name

    def add_metadata(self, name: str, content: bytes) -> None:
        """Adds a named buffer, which LiteRT ignores."""
        entry = self._schema.MetadataT()
        entry.name, entry.buffer = name, self._add_buffer(content)
        self._model.metadata = [*(self._model.metadata or []), entry]

    def to_bytes(self) -> bytes:
        """Returns the TFLite file with one signature, which names the input and the output."""
        signature = self._schema.SignatureDefT()
        signature.signatureKey = PIXELS_SIGNATURE
        signature.inputs = [self._rename(self.input, PIXELS_INPUT)]
        signature.outputs = [self._rename(self.output, OUTPUT)]
        self._model.signatureDefs = [signature]
        return tflite_packing.pack(self._model)

    def _tensor(self, index: int) -> TensorRef:
        tensor = self._graph.tensors[index]
        stored, quantisation = tensor.quantization, None
        if stored is not None and stored.scale is not None and len(stored.scale) == 1:
            quantisation = Quantisation(float(stored.scale[0]), int(stored.zeroPoint[0]))
        return TensorRef(int(index), tuple(int(n) for n in tensor.shape), quantisation)

    def _add_tensor(self, new: NewTensor, *, buffer: int = 0) -> TensorRef:
        tensor = self._schema.TensorT()
        tensor.name, tensor.type, tensor.shape = new.name, _TYPES[new.dtype], list(new.shape)
        tensor.buffer = buffer
        if new.quantisation is not None:
            tensor.quantization = self._schema.QuantizationParametersT()
            tensor.quantization.scale = [new.quantisation.scale]
            tensor.quantization.zeroPoint = [new.quantisation.zero_point]
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
        inputs: Sequence[TensorRef],
        output: TensorRef,
        *,
        version: int,
        options: Mapping[str, Any],
    ) -> Any:
        result = self._schema.OperatorT()
        result.opcodeIndex = self._add_code(getattr(self._schema.BuiltinOperator, name), version)
        result.inputs, result.outputs = [t.index for t in inputs], [output.index]
        if table := _OPTIONS.get(name):
            result.builtinOptionsType = getattr(self._schema.BuiltinOptions, table)
            result.builtinOptions = getattr(self._schema, f"{table}T")()
            for key, value in options.items():
                setattr(result.builtinOptions, key, value)
        return result

    def _add_code(self, builtin: int, version: int) -> int:
        code = self._schema.OperatorCodeT()
        code.builtinCode, code.version = builtin, version
        # Runtimes before 2.4 read this field, which is limited to 127.
        code.deprecatedBuiltinCode = min(builtin, 127)
        self._model.operatorCodes = [*self._model.operatorCodes, code]
        return len(self._model.operatorCodes) - 1

    def _rename(self, tensor: TensorRef, name: str) -> Any:
        self._graph.tensors[tensor.index].name = name
        result = self._schema.TensorMapT()
        result.name, result.tensorIndex = name, tensor.index
        return result

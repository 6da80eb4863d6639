"""Describes the operations of a TFLite file that lead to its scores."""

from typing import Any

import numpy as np

from retrain.heat_maps.operations import (
    Activation,
    Affine,
    Dense,
    Forward,
    Join,
    Operation,
    Other,
    SpatialMean,
    Sum,
    TensorId,
)
from retrain.runtimes import tflite_packing

_FORWARD = ("DEQUANTIZE", "QUANTIZE", "RESHAPE", "SQUEEZE")
_ACTIVATIONS = ("LOGISTIC", "SOFTMAX")
_ZERO, _ONE = np.zeros(1), np.ones(1)


class TFLiteOperations:
    """The operations of a TFLite file."""

    def __init__(self, flatbuffer: bytes) -> None:
        """Parses a file that LiteRT is known to accept."""
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._model = tflite_packing.parse(flatbuffer)
        self._graph = self._model.subgraphs[0]
        self._names = {
            number: name
            for name, number in vars(schema.BuiltinOperator).items()
            if not name.startswith("_")
        }
        self._producers = {
            int(index): operator for operator in self._graph.operators for index in operator.outputs
        }

    @property
    def output(self) -> TensorId:
        """The first output of the network."""
        return int(self._graph.outputs[0])

    def width(self, tensor: TensorId) -> int:
        """Returns the size of the last axis of a tensor."""
        assert isinstance(tensor, int)
        return self._shape(tensor)[-1]

    def describe(self, tensor: TensorId) -> Operation:
        """Returns the operation that computes a tensor."""
        assert isinstance(tensor, int)
        operator = self._producers.get(tensor)
        if operator is None:
            return Other("the input")
        name = self._operator_name(operator)
        inputs = [int(index) for index in operator.inputs]
        if name in _FORWARD:
            return Forward(inputs[0])
        if name in _ACTIVATIONS:
            return Activation(inputs[0])
        if getattr(operator.builtinOptions, "fusedActivationFunction", 0):
            return Other(f"{name} with an activation ({self._tensor_name(tensor)})")
        operation = (
            self._describe_arithmetic(name, inputs, tensor)
            or self._describe_dense(name, inputs)
            or self._describe_pooling(name, inputs, operator)
        )
        return operation or Other(f"{name} ({self._tensor_name(tensor)})")

    def _describe_arithmetic(self, name: str, inputs: list[int], output: int) -> Operation | None:
        if name == "CAST":
            # A cast keeps the integers of quantised values.
            before, after = self._quantisation(inputs[0]), self._quantisation(output)
            if before is None or after is None:
                return Forward(inputs[0])
            factor = after[0] / before[0]
            return Affine(inputs[0], factor, (before[1] - after[1]) * after[0])
        if name not in ("ADD", "MUL", "SUB", "DIV"):
            return None
        first, second = (self._constant(index) for index in inputs)
        if name == "ADD" and first is None and second is None:
            return Sum(tuple(inputs))
        if name == "SUB" and first is not None:
            return Affine(inputs[1], -_ONE, np.ravel(first))
        if name in ("ADD", "MUL") and second is None:
            inputs, second = inputs[::-1], first
        if second is None:
            return None
        values = np.ravel(second)
        if name in ("ADD", "SUB"):
            return Affine(inputs[0], _ONE, values if name == "ADD" else -values)
        return Affine(inputs[0], values if name == "MUL" else 1 / values, _ZERO)

    def _describe_dense(self, name: str, inputs: list[int]) -> Operation | None:
        is_pooled = name == "CONV_2D" and self._shape(inputs[0])[1:3] == (1, 1)
        if name != "FULLY_CONNECTED" and not is_pooled:
            return None
        weights = self._constant(inputs[1])
        has_bias = len(inputs) > 2 and inputs[2] >= 0
        bias = self._constant(inputs[2]) if has_bias else _ZERO
        if weights is None or bias is None or (is_pooled and weights.shape[1:3] != (1, 1)):
            return None
        return Dense(inputs[0], weights.reshape(len(weights), -1).T, bias)

    def _describe_pooling(self, name: str, inputs: list[int], operator: Any) -> Operation | None:
        shape = self._shape(inputs[0]) if inputs else ()
        options = operator.builtinOptions
        if name == "CONCATENATION":
            is_last = options.axis in (-1, len(shape) - 1)
            widths = tuple(self._shape(index)[-1] for index in inputs)
            return Join(tuple(inputs), widths) if is_last else None
        if name == "MEAN" and len(shape) == 4:
            axes = self._constant(inputs[1])
            is_spatial = axes is not None and sorted(int(n) % 4 for n in np.ravel(axes)) == [1, 2]
            return SpatialMean(inputs[0]) if is_spatial else None
        if name == "AVERAGE_POOL_2D":
            is_valid = options.padding == self._schema.Padding.VALID
            window = (options.filterHeight, options.filterWidth)
            return SpatialMean(inputs[0]) if is_valid and window == shape[1:3] else None
        return None

    def _operator_name(self, operator: Any) -> str:
        code = self._model.operatorCodes[operator.opcodeIndex]
        # Files of TFLite before 2.4 have only the second number.
        return self._names.get(max(code.builtinCode, code.deprecatedBuiltinCode), "an operator")

    def _tensor_name(self, index: int) -> str:
        return (self._graph.tensors[index].name or b"").decode(errors="replace").partition(";")[0]

    def _shape(self, index: int) -> tuple[int, ...]:
        shape = self._graph.tensors[index].shape
        return () if shape is None else tuple(int(n) for n in shape)

    def _quantisation(self, index: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns the scales and the zero points of a quantised tensor, one or one per channel."""
        stored = self._graph.tensors[index].quantization
        if stored is None or stored.scale is None or not len(stored.scale):
            return None
        scale = np.asarray(stored.scale, np.float64)
        zero_point = np.zeros(1) if stored.zeroPoint is None else np.asarray(stored.zeroPoint)
        return scale, zero_point.astype(np.float64)

    def _constant(self, index: int) -> np.ndarray | None:
        """Returns the values of a tensor that does not depend on the image, or None."""
        if operator := self._producers.get(index):
            is_stored = self._operator_name(operator) == "DEQUANTIZE"
            return self._constant(int(operator.inputs[0])) if is_stored else None
        tensor = self._graph.tensors[index]
        data = self._model.buffers[tensor.buffer].data
        dtype = _DTYPES.get(tensor.type)
        if data is None or dtype is None:
            return None
        values = np.frombuffer(bytes(data), dtype).reshape(self._shape(index))
        quantisation = self._quantisation(index)
        if quantisation is None:
            return values
        shape = [1] * values.ndim
        if len(quantisation[0]) > 1:
            shape[tensor.quantization.quantizedDimension] = -1
        scale, zero_point = (numbers.reshape(shape) for numbers in quantisation)
        return (values - zero_point) * scale


# NumPy dtypes by the schema's TensorType.
_DTYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 7: "<i2", 9: "i1"}

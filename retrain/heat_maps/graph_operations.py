"""Describes the operations of a frozen graph that lead to its scores."""

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
from retrain.runtimes.graph_session import GraphSession

_FORWARD = (
    *("CheckNumerics", "EnsureShape", "Identity", "PlaceholderWithDefault", "PreventGradient"),
    *("Reshape", "Snapshot", "Squeeze", "StopGradient"),
)
_ACTIVATIONS = ("Softmax", "Sigmoid")
_INPUTS = ("Placeholder", "PlaceholderWithDefault")
_ZERO, _ONE = np.zeros(1), np.ones(1)


class GraphOperations:
    """The operations of a loaded graph."""

    def __init__(self, graph: Any, session: GraphSession) -> None:
        """Indexes the nodes.

        Args:
            graph: A GraphDef.
            session: Session that has loaded the graph.
        """
        self._nodes = {node.name: node for node in graph.node}
        self._session = session

    def describe(self, tensor: TensorId) -> Operation:
        """Returns the operation that computes a tensor, the first output of a node."""
        node = self._nodes[_node_name(str(tensor))]
        inputs = [name for name in node.input if not name.startswith("^")]
        if node.op in _FORWARD:
            return Forward(inputs[0])
        if node.op in _ACTIVATIONS:
            return Activation(inputs[0])
        operation = self._describe_arithmetic(node, inputs) or self._describe_layer(node, inputs)
        return operation or Other(f"{node.op} ({node.name})")

    def width(self, tensor: TensorId) -> int:
        """Returns the size of the last axis of a tensor, or 1 if the graph does not state it."""
        shape = self._shape(str(tensor))
        return (shape[-1] if shape else None) or 1

    def _describe_arithmetic(self, node: Any, inputs: list[str]) -> Operation | None:
        if node.op not in ("Add", "AddV2", "BiasAdd", "Mul", "RealDiv", "Sub"):
            return None
        first, second = (self._constant(name) for name in inputs)
        if node.op in ("Add", "AddV2", "BiasAdd"):
            if second is not None:
                return Affine(inputs[0], _ONE, second)
            if first is not None:
                return Affine(inputs[1], _ONE, first)
            return Sum(tuple(inputs))
        if node.op == "Sub":
            if second is not None:
                return Affine(inputs[0], _ONE, -second)
            return Affine(inputs[1], -_ONE, first) if first is not None else None
        if second is not None:
            return Affine(inputs[0], second if node.op == "Mul" else 1 / second, _ZERO)
        return Affine(inputs[1], first, _ZERO) if node.op == "Mul" and first is not None else None

    def _describe_layer(self, node: Any, inputs: list[str]) -> Operation | None:
        if node.op == "MatMul":
            weights = self._constant(inputs[1], flat=False)
            if weights is None or node.attr["transpose_a"].b:
                return None
            return Dense(inputs[0], weights.T if node.attr["transpose_b"].b else weights, _ZERO)
        if node.op in ("Concat", "ConcatV2"):
            # `Concat`, which is older, has the axis first.
            axis, sources = (
                (inputs[0], inputs[1:]) if node.op == "Concat" else (inputs[-1], inputs[:-1])
            )
            return self._describe_concatenation(axis, sources)
        shape = self._shape(inputs[0]) if inputs else None
        if shape is None or len(shape) != 4:
            return None
        if node.op == "Mean":
            axes = self._constant(inputs[1])
            is_spatial = axes is not None and sorted(int(axis) % 4 for axis in axes) == [1, 2]
            return SpatialMean(inputs[0]) if is_spatial else None
        if node.op == "AvgPool":
            window = tuple(node.attr["ksize"].list.i)[1:3]
            is_whole = node.attr["padding"].s == b"VALID" and window == shape[1:3]
            return SpatialMean(inputs[0]) if is_whole else None
        if node.op == "Conv2D" and shape[1:3] == (1, 1):
            kernel = self._constant(inputs[1], flat=False)
            if kernel is not None and kernel.shape[:2] == (1, 1):
                return Dense(inputs[0], kernel[0, 0], _ZERO)
        return None

    def _describe_concatenation(self, axis: str, sources: list[str]) -> Operation | None:
        position = self._constant(axis)
        shapes = [self._shape(source) for source in sources]
        if position is None or any(not shape or shape[-1] is None for shape in shapes):
            return None
        known = [shape for shape in shapes if shape]
        if any(int(position[0]) not in (-1, len(shape) - 1) for shape in known):
            return None
        return Join(tuple(sources), tuple(int(shape[-1] or 0) for shape in known))

    def _shape(self, name: str) -> tuple[int | None, ...] | None:
        shape_and_dtype = self._session.shape_and_dtype(name)
        return shape_and_dtype[0] if shape_and_dtype else None

    def _constant(self, name: str, *, flat: bool = True) -> np.ndarray | None:
        """Returns the value of a tensor that does not depend on the image, or None.

        Args:
            name: Name of the tensor.
            flat: Whether to return it as one number per channel, [width] or [1].
        """
        if not self._does_not_depend_on_inputs(name):
            return None
        (value,) = self._session.run_all([name], {})
        return np.ravel(value) if flat else np.asarray(value)

    def _does_not_depend_on_inputs(self, name: str) -> bool:
        visited: set[str] = set()
        pending = [_node_name(name)]
        while pending:
            current = pending.pop()
            if current not in visited:
                visited.add(current)
                node = self._nodes[current]
                if node.op in _INPUTS:
                    return False
                pending += [_node_name(source) for source in node.input]
        return True


def _node_name(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]

"""Appends nodes to a GraphDef, without importing all of TensorFlow."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrain.runtimes.tensorflow_import import import_session_modules


class GraphNodes:
    """Appends nodes to a graph. All methods return the name of the new node."""

    def __init__(self, graph: Any, scope: str = "") -> None:
        """Appends nothing.

        Args:
            graph: The GraphDef to extend.
            scope: Scope of the names of the nodes, without a slash at its end.
        """
        self._graph = graph
        self._prefix = f"{scope}/" if scope else ""
        self._float = import_session_modules().types_pb2.DT_FLOAT
        self._int32 = import_session_modules().types_pb2.DT_INT32

    def constant(self, name: str, value: np.ndarray | np.floating) -> str:
        """Appends a constant."""
        tensor = import_session_modules().tensor_util.make_tensor_proto(value)
        node = self._graph.node.add(op="Const", name=f"{self._prefix}{name}")
        node.attr["dtype"].type = tensor.dtype
        node.attr["value"].tensor.CopyFrom(tensor)
        return str(node.name)

    def add(
        self, operation: str, name: str, inputs: Sequence[str], *, in_scope: bool = True
    ) -> str:
        """Appends an operation on float32 tensors, without attributes other than their type.

        Args:
            operation: Name of the operation.
            name: Name of the node.
            inputs: Names of its inputs.
            in_scope: Whether the name is in the scope.
        """
        full_name = f"{self._prefix}{name}" if in_scope else name
        node = self._graph.node.add(op=operation, name=full_name, input=inputs)
        node.attr["T"].type = self._float
        for attribute in {"Reshape": ["Tshape"], "Slice": ["Index"]}.get(operation, []):
            node.attr[attribute].type = self._int32
        return str(node.name)

    def reduce(
        self, operation: str, name: str, source: str, axes: np.ndarray, *, keep_dims: bool = False
    ) -> str:
        """Appends a reduction, such as Sum, over some axes, int32 [any number]."""
        result = self.add(operation, name, [source, self.constant(f"{name}_axes", axes)])
        node = self._graph.node[-1]
        node.attr["Tidx"].type = self._int32
        node.attr["keep_dims"].b = keep_dims
        return result

"""Cuts networks out of frozen graphs, and rewrites operations that converters do not support."""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

_CUSTOM_GRADIENT = "_gradient_op_type"
_PLACEHOLDERS = ("Placeholder", "PlaceholderV2")
_VARIABLES = ("Variable", "VariableV2", "VarHandleOp")


class CutError(Exception):
    """The network cannot be cut out of the graph. The message says why."""


def node_name(name: str) -> str:
    """Returns the node name in a tensor name such as `name:1` or an input name such as `^name`."""
    return name.lstrip("^").partition(":")[0]


def extract_between(graph: Any, start: str, end: str) -> Any:
    """Returns a graph with the nodes that lead from one node to another, without the first node.

    Args:
        graph: GraphDef that TensorFlow can load.
        start: Name of the input node.
        end: Name of the output node.

    Raises:
        CutError: If the output does not depend on the input, or depends on another input or on a
            variable.
    """
    needed = _ancestors(graph, end, start=start)
    if start not in needed or start == end:
        raise CutError(f"{end} does not depend on {start}")
    result = _select(graph, needed - {start})
    for node in result.node:
        if node.op in _PLACEHOLDERS:
            raise CutError(f"{end} also depends on {node.name}, which has no value in the file")
        if node.op in _VARIABLES:
            raise CutError(f"{node.name} is a variable, whose value is not in the file")
    return result


def extract_up_to(graph: Any, end: str) -> Any:
    """Returns a graph with a node and all nodes that it depends on."""
    return _select(graph, _ancestors(graph, end))


def with_placeholder(graph: Any, name: str) -> Any:
    """Returns a copy of a graph in which the named node is an input."""
    result = type(graph)()
    result.CopyFrom(graph)
    (node,) = (node for node in result.node if node.name == name)
    node.op = "Placeholder"
    del node.input[:]
    return result


def follow_identities(graph: Any, name: str) -> str:
    """Returns the last node in a chain of nodes that forward the value of a node unchanged."""
    while True:
        users = [node for node in graph.node if any(node_name(n) == name for n in node.input)]
        if len(users) != 1 or users[0].op not in ("PlaceholderWithDefault", "Identity"):
            return name
        name = users[0].name


def replace_legacy_operations(graph: Any) -> None:
    """Replaces operations of 2015, which converters do not support, by equivalent ones, in place.

    Constant shapes for a batch of one image become shapes for batches of any size.
    """
    constants = {node.name: node for node in graph.node if node.op == "Const"}
    for node in list(graph.node):
        if node.op == "CheckNumerics":
            node.op = "Identity"
            del node.attr["message"]
        elif node.op == "Concat":
            axis, *values = node.input
            node.op = "ConcatV2"
            node.attr["Tidx"].type = _type(np.int32)
            _set_inputs(node, [*values, axis])
        elif node.op == "BatchNormWithGlobalNormalization":
            _replace_batch_norm(graph, node, constants)
        elif node.op == "Reshape":
            shape = constants.get(node_name(node.input[1]))
            if shape is not None:
                _free_batch_dimension(shape)


def make_portable(graph: Any) -> None:
    """Replaces operations and attributes that other programs do not support, in place.

    Core ML does not support Erfc, and custom gradients exist only in the program that built the
    network.
    """
    for node in list(graph.node):
        if node.op == "Erfc":
            _replace_erfc(graph, node)
        if _CUSTOM_GRADIENT in node.attr:
            del node.attr[_CUSTOM_GRADIENT]


def append_flatten(graph: Any, end: str, width: int) -> str:
    """Appends a node that reshapes [N, 1, 1, width] to [N, width], and returns its name."""
    name = f"{end}/flat"
    _add_constant(graph, f"{name}/shape", np.array([-1, width], np.int32))
    node = graph.node.add(op="Reshape", name=name, input=[end, f"{name}/shape"])
    node.attr["T"].type = _type(np.float32)
    node.attr["Tshape"].type = _type(np.int32)
    return name


def infer_shapes(
    graph: Any, start: str, size: tuple[int, int]
) -> Iterator[tuple[str, list[int | None]]]:
    """Yields the names and output shapes of nodes that depend on the input, in graph order.

    Nodes whose output is not float32 or has an unknown rank are left out.

    Args:
        graph: GraphDef that TensorFlow can load, with or without the input node.
        start: Name of the tensor that the images are fed to.
        size: Height and width of the images in pixels.

    Raises:
        ValueError: If the network does not accept images of that size.
    """
    import tensorflow as tf

    with tf.Graph().as_default() as imported:
        pixels = tf.compat.v1.placeholder(tf.float32, (None, *size, 3), "images_to_feed")
        tf.import_graph_def(graph, {start: pixels}, name="")
    dependent = {pixels.op}
    for operation in imported.get_operations():
        if any(tensor.op in dependent for tensor in operation.inputs):
            dependent.add(operation)
            output = operation.outputs[0] if operation.outputs else None
            if output is not None and output.dtype == tf.float32 and output.shape.rank:
                yield operation.name, output.shape.as_list()


def _ancestors(graph: Any, end: str, *, start: str | None = None) -> set[str]:
    """Returns the names of all nodes that a node depends on, and its own.

    The search does not go beyond the node `start`.
    """
    inputs = {node.name: [node_name(name) for name in node.input] for node in graph.node}
    visited: set[str] = set()
    pending = [end]
    while pending:
        name = pending.pop()
        if name not in visited:
            visited.add(name)
            pending += inputs[name] if name != start else []
    return visited


def _select(graph: Any, names: Collection[str]) -> Any:
    result = type(graph)(versions=graph.versions, library=graph.library)
    result.node.extend(node for node in graph.node if node.name in names)
    return result


def _replace_batch_norm(graph: Any, node: Any, constants: dict[str, Any]) -> None:
    values, mean, variance, beta, gamma = node.input[:5]
    if not node.attr["scale_after_normalization"].b:
        gamma = f"{node.name}/ones"
        _add_constant(graph, gamma, np.ones_like(_array(constants[node_name(beta)])))
    epsilon = node.attr["variance_epsilon"].f
    del node.attr["scale_after_normalization"]
    del node.attr["variance_epsilon"]
    node.op = "FusedBatchNorm"
    node.attr["epsilon"].f = epsilon
    node.attr["is_training"].b = False
    _set_inputs(node, [values, gamma, beta, mean, variance, *node.input[5:]])


def _replace_erfc(graph: Any, node: Any) -> None:
    one, erf = f"{node.name}/one", f"{node.name}/erf"
    _add_constant(graph, one, np.ones((), np.float32))
    graph.node.add(op="Erf", name=erf, input=node.input).attr["T"].CopyFrom(node.attr["T"])
    node.op = "Sub"
    _set_inputs(node, [one, erf])


def _free_batch_dimension(constant: Any) -> None:
    shape = _array(constant)
    # If the tensor is not a batch, -1 stands for the same dimension of 1.
    if shape.ndim == 1 and len(shape) > 1 and shape[0] == 1 and (shape >= 0).all():
        free = np.concatenate([[-1], shape[1:]]).astype(shape.dtype)
        constant.attr["value"].tensor.CopyFrom(_tensor(free))


def _set_inputs(node: Any, inputs: list[str]) -> None:
    del node.input[:]
    node.input.extend(inputs)


def _add_constant(graph: Any, name: str, value: np.ndarray) -> None:
    node = graph.node.add(op="Const", name=name)
    node.attr["dtype"].type = _type(value.dtype)
    node.attr["value"].tensor.CopyFrom(_tensor(value))


def _array(constant: Any) -> np.ndarray:
    import tensorflow as tf

    return tf.make_ndarray(constant.attr["value"].tensor)


def _tensor(value: np.ndarray) -> Any:
    import tensorflow as tf

    return tf.make_tensor_proto(value)


def _type(dtype: Any) -> int:
    import tensorflow as tf

    return tf.as_dtype(dtype).as_datatype_enum

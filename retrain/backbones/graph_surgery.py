"""Cuts networks out of frozen graphs of any age, as every TensorFlow and converter takes them."""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

_GRADIENT = "_gradient_op_type"
# These wait for values, or hold them outside of the graph.
_UNFED = ("Placeholder", "PlaceholderV2")
_VARIABLES = ("Variable", "VariableV2", "VarHandleOp")


class CutError(Exception):
    """The graph has no such part; the message says why."""


def node_name(name: str) -> str:
    """Returns the name of the node that `name`, `name:1` or `^name` comes from."""
    return name.lstrip("^").partition(":")[0]


def cut(graph: Any, start: str, end: str) -> Any:
    """Returns the nodes that the node `end` needs, up to the node `start`, which is not among them.

    Args:
        graph: a GraphDef, of which TensorFlow knows all operations and nothing is missing.
        start: name of a node.
        end: name of a node.

    Raises:
        CutError: the end does not depend on the start, or on more than it, or on variables.
    """
    needed = _needed(graph, end, start)
    if start not in needed or start == end:
        raise CutError(f"{end} does not depend on {start}")
    result = _of_nodes(graph, needed - {start})
    for node in result.node:
        if node.op in _UNFED:
            raise CutError(f"{end} depends on {node.name}, too, which only a user can feed")
        if node.op in _VARIABLES:
            raise CutError(f"{node.name} is a variable, whose value is not in the file")
    return result


def extract_up_to(graph: Any, end: str) -> Any:
    """Returns the graph without the nodes that the one of that name does not need."""
    return _of_nodes(graph, _needed(graph, end))


def _needed(graph: Any, end: str, start: str | None = None) -> set[str]:
    """Returns the names of what a node needs, itself included; not what `start` needs in turn."""
    inputs = {node.name: [node_name(name) for name in node.input] for node in graph.node}
    needed: set[str] = set()
    waiting = [end]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += inputs[name] if name != start else []
    return needed


def _of_nodes(graph: Any, names: Collection[str]) -> Any:
    result = type(graph)(versions=graph.versions, library=graph.library)
    result.node.extend(node for node in graph.node if node.name in names)
    return result


def passed_on_to(graph: Any, name: str) -> str:
    """Returns the last of the nodes that pass the value of the node `name` on unchanged."""
    while True:
        users = [node for node in graph.node if any(node_name(n) == name for n in node.input)]
        if len(users) != 1 or users[0].op not in ("PlaceholderWithDefault", "Identity"):
            return name
        name = users[0].name


def modernise(graph: Any) -> None:
    """Replaces operations of 2015 that converters do not know, in place, by equal ones.

    Shapes that are written for one image become such for any number.
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
            _fuse_normalisation(graph, node, constants)
        elif node.op == "Reshape":
            shape = constants.get(node_name(node.input[1]))
            if shape is not None:
                _free_first_dimension(shape)


def replace_erfc(graph: Any) -> None:
    """Replaces the complement of the error function, in place, by what Core ML knows, too."""
    for node in list(graph.node):
        if node.op == "Erfc":
            one, erf = f"{node.name}/one", f"{node.name}/erf"
            _add_constant(graph, one, np.ones((), np.float32))
            graph.node.add(op="Erf", name=erf, input=node.input).attr["T"].CopyFrom(node.attr["T"])
            node.op = "Sub"
            _set_inputs(node, [one, erf])


def forget_gradients(graph: Any) -> None:
    """Removes, in place, what names gradients that are not in the file, as swish has one."""
    for node in graph.node:
        if _GRADIENT in node.attr:
            del node.attr[_GRADIENT]


def with_flat_output(graph: Any, end: str, width: int) -> str:
    """Appends a node of [N, width] for the node `end`, of [N, 1, 1, width]; returns its name."""
    name = f"{end}/flat"
    _add_constant(graph, f"{name}/shape", np.array([-1, width], np.int32))
    node = graph.node.add(op="Reshape", name=name, input=[end, f"{name}/shape"])
    node.attr["T"].type = _type(np.float32)
    node.attr["Tshape"].type = _type(np.int32)
    return name


def shapes(graph: Any, start: str, size: tuple[int, int]) -> Iterator[tuple[str, list[int | None]]]:
    """Yields each node with a float32 output of known rank that depends on `start`, in order.

    Args:
        graph: a GraphDef as for `cut`, without the node `start`, or with it.
        start: name of the tensor that takes images.
        size: their height and width.
    """
    import tensorflow as tf

    with tf.Graph().as_default() as imported:
        pixels = tf.compat.v1.placeholder(tf.float32, (None, *size, 3), "pictures_to_feed")
        tf.import_graph_def(graph, {start: pixels}, name="")
    depending = {pixels.op}
    for operation in imported.get_operations():
        if any(tensor.op in depending for tensor in operation.inputs):
            depending.add(operation)
            output = operation.outputs[0] if operation.outputs else None
            if output is not None and output.dtype == tf.float32 and output.shape.rank:
                yield operation.name, output.shape.as_list()


def _fuse_normalisation(graph: Any, node: Any, constants: dict[str, Any]) -> None:
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


def _free_first_dimension(constant: Any) -> None:
    shape = _array(constant)
    # Where nothing depends on the number of images, this is the same shape.
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

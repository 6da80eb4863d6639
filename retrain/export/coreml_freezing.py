"""Freezes a TensorFlow function in the form that coremltools can convert."""

from collections.abc import Callable
from typing import Any


def freeze(
    function: Callable[[Any], Any], shape: tuple[int, ...], *, input_name: str, output_name: str
) -> Any:
    """Returns a concrete function that has no variables and calls no other functions.

    Args:
        function: Function of one tensor that TensorFlow can trace.
        shape: Shape of its float32 argument.
        input_name: Name of the input in the result.
        output_name: Name of the output in the result. The function has no node of this name.
    """
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    traced = tf.function(function, autograph=False).get_concrete_function(
        tf.TensorSpec(shape, tf.float32, input_name)
    )
    to_constants = convert_to_constants.convert_variables_to_constants_v2
    frozen = to_constants(traced)
    if frozen.graph.as_graph_def().library.function:
        frozen = to_constants(_without_xla(frozen), aggressive_inlining=True)
    return _rename_output(frozen, output_name)


def _without_xla(function: Any) -> Any:
    """Removes the XLA attributes of called functions, which prevent their inlining."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for called in graph.library.function for node in called.node_def)]
    # TensorFlow rejects two different functions of the same name in one process.
    names = {f.signature.name: f"{f.signature.name}_without_xla" for f in graph.library.function}
    for called in graph.library.function:
        called.signature.name = names[called.signature.name]
    for node in nodes:
        for value in node.attr.values():
            for reference in (value.func, *value.list.func):
                if reference.name in names:
                    reference.name = names[reference.name]
    for marked in (*nodes, *graph.library.function):
        for name in [name for name in marked.attr if "Xla" in name]:
            del marked.attr[name]
    return _import(graph, function.inputs[0].name, function.outputs[0].name)


def _rename_output(function: Any, name: str) -> Any:
    graph = function.graph.as_graph_def()
    output = graph.node.add(op="Identity", name=name, input=[function.outputs[0].name])
    output.attr["T"].type = function.outputs[0].dtype.as_datatype_enum
    return _import(graph, function.inputs[0].name, f"{name}:0")


def _import(graph: Any, input_tensor: str, output_tensor: str) -> Any:
    import tensorflow as tf

    imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    return imported.prune(input_tensor, output_tensor)

"""Refuses graphs that do more than compute, before TensorFlow loads them."""

import math
from collections.abc import Container, Iterable, Iterator
from itertools import chain
from typing import Any

from retrain.model_limits import LIMITS
from retrain.runtimes import operations
from retrain.runtimes.runtime import ModelError
from retrain.system.text import name_some, one_line

_MAX_LISTED = 3
_MAX_NAME = 80


class UntrustedModelError(ModelError):
    """A network does more than compute. The message names the operations and what to do."""


def check_graph(graph: Any, *, allow_random: bool = False) -> None:
    """Checks that all operations of a GraphDef only compute, those of its functions included.

    The functions that a graph calls, such as the branches of a condition, are in its library. All
    of them are checked, whether they are called or not.

    Args:
        graph: A GraphDef.
        allow_random: Whether to accept random operations, in a part of the graph that is not run.

    Raises:
        UntrustedModelError: If an operation is on no list of `operations`, or is random, or if a
            constant is too large.
    """
    library = graph.library.function
    nodes = chain(graph.node, *(function.node_def for function in library))
    functions = {function.signature.name for function in library}
    _check_nodes(nodes, _allowed(allow_random=allow_random), functions)


def check_saved_model(saved_model: Any, *, allow_random: bool = False) -> None:
    """Checks that loading and calling a SavedModel only computes and reads its own variables.

    Every SavedModel contains operations that save and restore its variables. TensorFlow reads the
    variables itself when it loads a SavedModel of TensorFlow 2, and never runs these operations.
    They are accepted in the functions that only the saver of the graph calls.

    Args:
        saved_model: A SavedModel message.
        allow_random: Whether to accept random operations, which only functions for training call.

    Raises:
        UntrustedModelError: If an operation is on no list, a constant is too large, or the format
            is that of TensorFlow 1, which restores variables by running the graph.
    """
    graphs = saved_model.meta_graphs
    if len(graphs) != 1 or not graphs[0].object_graph_def.nodes:
        raise UntrustedModelError(
            f"it has {len(graphs)} graphs or the format of TensorFlow 1, so TensorFlow would run "
            "its graph to restore the variables; set --trust_model only if you trust its author"
        )
    (meta_graph,) = graphs
    functions = {
        function.signature.name: function for function in meta_graph.graph_def.library.function
    }
    saving = _saving_functions(meta_graph, functions)
    allowed = _allowed(allow_random=allow_random)
    for name, function in functions.items():
        extra = operations.SAVING if name in saving else frozenset()
        _check_nodes(function.node_def, allowed | extra, functions)
    _check_nodes(meta_graph.graph_def.node, allowed, functions)


def _allowed(*, allow_random: bool) -> frozenset[str]:
    return operations.PURE | operations.RANDOM if allow_random else operations.PURE


def _check_nodes(nodes: Iterable[Any], allowed: Container[str], functions: Container[str]) -> None:
    refused: dict[str, str] = {}
    for node in nodes:
        operation = node.op
        if operation == "Const":
            _check_constant(node)
        elif operation not in allowed and operation not in functions:
            refused.setdefault(operation, node.name)
    if refused:
        found = [
            f"{one_line(operation[:_MAX_NAME])} ({one_line(name[:_MAX_NAME])}), which "
            f"{operations.describe(operation)}"
            for operation, name in refused.items()
        ]
        raise UntrustedModelError(
            "it does more than compute, because it contains the operation (node) "
            f"{name_some(found, most=_MAX_LISTED)}; set --trust_model only if you trust its author"
        )


def _check_constant(node: Any) -> None:
    shape = node.attr["value"].tensor.tensor_shape
    count = math.prod(dimension.size for dimension in shape.dim)
    # A file of a few bytes can declare a constant that fills any memory.
    if count > LIMITS.constant_values:
        raise UntrustedModelError(
            f"its constant {one_line(node.name[:_MAX_NAME])} has {count:,} values, more than the "
            f"{LIMITS.constant_values:,} that a network can have; set --trust_model only if you "
            "trust its author"
        )


def _saving_functions(meta_graph: Any, functions: dict[str, Any]) -> set[str]:
    """Returns the functions that the saver of a graph calls and that no object of it can call."""
    saver = meta_graph.saver_def
    saver_nodes = {
        name.partition(":")[0] for name in (saver.save_tensor_name, saver.restore_op_name)
    }
    graph_nodes = meta_graph.graph_def.node
    saver_calls = (_called(node) for node in graph_nodes if node.name in saver_nodes)
    other_calls = (_called(node) for node in graph_nodes if node.name not in saver_nodes)
    objects = _object_functions(meta_graph.object_graph_def)
    called_otherwise = _reachable(chain(objects, *other_calls), functions)
    return {
        name
        for name in _reachable(chain(*saver_calls), functions) - called_otherwise
        if not _is_variant(functions[name])
    }


def _is_variant(function: Any) -> bool:
    """Returns whether TensorFlow can replace a call of another function by a call of this one."""
    return any(name.startswith("api_") for name in function.attr)


def _object_functions(object_graph: Any) -> Iterator[str]:
    """Yields the names of the functions of all objects, which programs can call."""
    yield from object_graph.concrete_functions
    for node in object_graph.nodes:
        yield from node.function.concrete_functions
        yield node.bare_concrete_function.concrete_function_name


def _reachable(roots: Iterable[str], functions: dict[str, Any]) -> set[str]:
    """Returns the functions in `roots` and all that they call."""
    pending, reached = list(roots), set()
    while pending:
        name = pending.pop()
        if name in functions and name not in reached:
            reached.add(name)
            pending += chain(*(_called(node) for node in functions[name].node_def))
    return reached


def _called(node: Any) -> Iterator[str]:
    """Yields the names of all functions that a node can call."""
    yield node.op
    pending = list(node.attr.values())
    while pending:
        value = pending.pop()
        for function in (value.func, *value.list.func):
            yield function.name
            pending += function.attr.values()

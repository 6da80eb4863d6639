"""Freezes the function of a SavedModel for inference, without what only training needs."""

from collections.abc import Callable, Iterable
from typing import Any

from tools.conversion import moving_averages, random_layers


class TrainingFunctionError(Exception):
    """A function computes scores as in training. The message names the operation that shows it."""


def freeze(function: Any, output: str) -> tuple[Any, list[str]]:
    """Returns a GraphDef with constants instead of variables, and the names of removed layers.

    The graph contains only the operations that compute the output. Functions that Keras saves often
    write variables in each call, such as the seeds of random layers. These writes do not change the
    output of the call, and constants cannot be written to. If a model begins with a random layer,
    Keras also saves the layers after it as in training: random layers are removed, and batch
    normalisation uses its moving averages.

    Args:
        function: Concrete function.
        output: Name of the output tensor.

    Raises:
        TrainingFunctionError: If the function trains, or if its output is random.
        ValueError, TypeError, KeyError or OpError: If TensorFlow cannot convert the variables.
    """
    from tensorflow.python.framework import convert_to_constants

    # `convert_variables_to_constants_v2` imports the result, which fails if it has writes.
    data = convert_to_constants._FunctionConverterDataInEager(
        func=function, lower_control_flow=True, aggressive_inlining=False
    )
    graph, _ = convert_to_constants._replace_variables_by_constants(converter_data=data)
    moving_averages.use(graph)
    _check(graph, _trains)
    start = function.inputs[0].name
    for part in graph.library.function:
        _keep_only_needed(part.node_def, part.ret.values())
        part.control_ret.clear()
        del part.signature.control_output[:]
    _keep_only_needed(graph.node, [output, start])
    removed = []
    while (layer := random_layers.remove_first(graph, start)) is not None:
        removed.append(layer)
        _keep_only_needed(graph.node, [output, start])
    _check(graph, random_layers.is_random)
    return graph, removed


def _check(graph: Any, is_wrong: Callable[[Any], bool]) -> None:
    functions = [function.node_def for function in graph.library.function]
    for nodes in (graph.node, *functions):
        for node in nodes:
            if is_wrong(node):
                raise TrainingFunctionError(node.op)


def _trains(node: Any) -> bool:
    """Returns whether only training has the node, such as those that update weights."""
    if "is_training" in node.attr and node.attr["is_training"].b:
        return True
    return moving_averages.is_float_write(node)


def _keep_only_needed(nodes: Any, outputs: Iterable[str]) -> None:
    """Deletes all nodes that the outputs do not depend on, and the order between the others.

    Args:
        nodes: Repeated field of NodeDefs. The function modifies it.
        outputs: Names of tensors.
    """
    by_name = {node.name: node for node in nodes}
    needed: set[str] = set()
    waiting = [name.split(":")[0] for name in outputs]
    while waiting:
        name = waiting.pop()
        # Names that are not nodes are arguments of a function.
        if name in needed or name not in by_name:
            continue
        needed.add(name)
        node = by_name[name]
        inputs = [source for source in node.input if not source.startswith("^")]
        del node.input[:]
        node.input.extend(inputs)
        waiting += [source.split(":")[0] for source in inputs]
    kept = [
        type(node).FromString(node.SerializeToString()) for node in nodes if node.name in needed
    ]
    del nodes[:]
    nodes.extend(kept)

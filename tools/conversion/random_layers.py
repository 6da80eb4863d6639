"""Removes layers that change images at random, such as augmentation and dropout, from a graph."""

import re
from collections.abc import Iterator
from typing import Any

_RANDOM_OPERATION = re.compile(r"Random|Multinomial|TruncatedNormal|StatefulUniform|RngReadAndSkip")


def is_random(node: Any) -> bool:
    """Returns whether the results of a node differ from call to call."""
    return _RANDOM_OPERATION.search(node.op) is not None


def remove_first(graph: Any, start: str) -> str | None:
    """Removes a random layer, whose input becomes its output as in inference.

    A layer is a name scope. It is removed only if it has one input that depends on the images and
    one output of the same type and shape, and if it has no weights.

    Args:
        graph: GraphDef without functions. The function modifies it.
        start: Name of the tensor of the images.

    Returns:
        The name of the layer, or None if there is no random layer that can be removed.
    """
    for node in graph.node:
        if not is_random(node):
            continue
        for scope in _scopes(node.name):
            ends = _find_ends(graph, scope, start)
            if ends:
                _bypass(graph, scope, *ends)
                return scope.rsplit("/", 1)[-1]
    return None


def _scopes(name: str) -> Iterator[str]:
    """Yields the name scopes that contain a node, beginning with the innermost."""
    parts = name.split("/")
    for length in range(len(parts) - 1, 0, -1):
        yield "/".join(parts[:length])


def _is_inside(name: str, scope: str) -> bool:
    return name == scope or name.startswith(f"{scope}/")


def _tensor(source: str) -> str:
    return source if ":" in source else f"{source}:0"


def _find_ends(graph: Any, scope: str, start: str) -> tuple[str, str] | None:
    """Returns the names of the input and the output of a scope, if it can be bypassed."""
    import tensorflow as tf

    depends = _find_dependents(graph, start)
    inputs: set[str] = set()
    constants: set[str] = set()
    outputs: set[str] = set()
    for node in graph.node:
        for source in node.input:
            name = source.split(":")[0]
            if _is_inside(node.name, scope) and not _is_inside(name, scope):
                (inputs if name in depends else constants).add(_tensor(source))
            elif _is_inside(name, scope) and not _is_inside(node.name, scope):
                outputs.add(_tensor(source))
    if len(inputs) != 1 or len(outputs) != 1:
        return None
    (first,), (last,) = inputs, outputs
    with tf.Graph().as_default():
        tensors = tf.import_graph_def(graph, return_elements=[first, last, *constants], name="")
    before, after, *others = tensors
    if before.dtype != after.dtype or not before.dtype.is_floating or before.shape.rank is None:
        return None
    if after.shape.rank != before.shape.rank or not after.shape.is_compatible_with(before.shape):
        return None
    # Seeds are integers, and settings of layers are scalars.
    if any(tensor.dtype.is_floating and tensor.shape.rank != 0 for tensor in others):
        return None
    return first, last


def _find_dependents(graph: Any, start: str) -> set[str]:
    """Returns the names of the nodes that depend on the images."""
    users: dict[str, list[str]] = {}
    for node in graph.node:
        for source in node.input:
            users.setdefault(source.split(":")[0], []).append(node.name)
    waiting, dependents = [start.split(":")[0]], set()
    while waiting:
        name = waiting.pop()
        if name not in dependents:
            dependents.add(name)
            waiting += users.get(name, [])
    return dependents


def _bypass(graph: Any, scope: str, first: str, last: str) -> None:
    for node in graph.node:
        if not _is_inside(node.name, scope):
            for index, source in enumerate(node.input):
                if _tensor(source) == last:
                    node.input[index] = first

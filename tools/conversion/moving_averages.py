"""Replaces the statistics of a batch by their moving averages, as batch normalisation does."""

from typing import Any

_COPIES = ("Identity", "Cast", "ReadVariableOp")


def is_float_write(node: Any) -> bool:
    """Returns whether a node writes a float variable. Seeds and counters are integers."""
    import tensorflow as tf

    if not (node.op.startswith("Assign") and node.op.endswith("VariableOp")):
        return False
    return bool(tf.as_dtype(node.attr["dtype"].type).is_floating)


def use(graph: Any) -> None:
    """Replaces each value that a graph updates a moving average with by that average.

    An update is `average = average * momentum + value * (1 - momentum)`. Writes of other kinds
    remain in the graph.

    Args:
        graph: GraphDef with constants instead of variables. The function modifies it.
    """
    nodes = {node.name: node for node in graph.node}
    for write in [node for node in graph.node if is_float_write(node)]:
        update = _find_update(write, nodes)
        if update is None:
            continue
        average, value = update
        for node in graph.node:
            for index, source in enumerate(node.input):
                if source in (value, f"{value}:0"):
                    node.input[index] = average
        # The write no longer shows that the graph is for training.
        write.op = "NoOp"
        del write.input[:]
        write.attr.clear()


def _find_update(write: Any, nodes: dict[str, Any]) -> tuple[str, str] | None:
    """Returns the names of the average and of the value in the update of a moving average."""
    if write.op != "AssignVariableOp":
        return None
    variable = _origin(write.input[0], nodes)
    total = _node(write.input[1], nodes)
    if total is None or total.op not in ("Add", "AddV2"):
        return None
    terms = [_node(source, nodes) for source in total.input[:2]]
    if any(term is None or term.op != "Mul" for term in terms):
        return None
    for one, other in (terms, reversed(terms)):
        if _origin(one.input[0], nodes) == variable:
            value = other.input[0].removesuffix(":0")
            return one.input[0], value
    return None


def _node(source: str, nodes: dict[str, Any]) -> Any:
    return nodes.get(source.split(":")[0].lstrip("^"))


def _origin(source: str, nodes: dict[str, Any]) -> str:
    """Returns the name of the node whose value a tensor copies."""
    node = _node(source, nodes)
    while node is not None and node.op in _COPIES:
        source = node.input[0]
        node = _node(source, nodes)
    return source.split(":")[0]

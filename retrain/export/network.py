"""A classifier as TensorFlow functions, from which the formats of TensorFlow are written."""

from typing import Any, NamedTuple

from retrain.backbones import freeze, graph_surgery
from retrain.export.assemble import Classifier
from retrain.runtimes.graph_session import parse_graph
from retrain.system.console import quiet_native_libraries


class Functions(NamedTuple):
    """A classifier that TensorFlow can trace into other functions.

    Attributes:
        from_pixels: float32 [N, height, width, 3], normalised and in the channel order that the
            metadata say, to probabilities, float32 [N, classes].
        from_file: string scalar, the bytes of an image's file, to such pixels, N being 1.
    """

    from_pixels: Any
    from_file: Any


def functions(classifier: Classifier) -> Functions:
    """Returns the classifier, made of the backbone's graph and the head."""
    with quiet_native_libraries():
        import tensorflow as tf

    graph = parse_graph(classifier.backbone.graph_file.read_bytes())
    # The last of the names is the one that the network reads; the others pass their value on.
    pixels = freeze.INPUTS[-1]
    from_file = _part(graph, freeze.CONTENTS, pixels)
    bottlenecks = _part(_begun_at(graph, pixels), pixels, freeze.BOTTLENECK)
    head = classifier.head

    def from_pixels(value: Any) -> Any:
        return tf.nn.softmax(tf.matmul(bottlenecks(value), head.weights) + head.bias)

    return Functions(from_pixels, from_file)


def _begun_at(graph: Any, name: str) -> Any:
    """Returns the graph with an input in place of the node of that name."""
    result = type(graph)()
    result.CopyFrom(graph)
    (node,) = (node for node in result.node if node.name == name)
    node.op = "Placeholder"
    del node.input[:]
    return result


def _part(graph: Any, start: str, end: str) -> Any:
    """Returns what leads from one node to another, as a function of the first one's value."""
    import tensorflow as tf

    # Pruning the whole would keep control flow of the other part, which no converter takes.
    part = graph_surgery.extract_up_to(graph, end)
    imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(part, name=""), signature=[])
    tensor = imported.graph.get_tensor_by_name
    return imported.prune(tensor(f"{start}:0"), tensor(f"{end}:0"))

"""Builds TensorFlow functions of a classifier, from which SavedModel and Core ML files are made."""

from typing import Any, NamedTuple

from retrain.backbones import backbone_graph, graph_surgery
from retrain.export import familiarity_graph
from retrain.export.assemble import TrainedClassifier
from retrain.metadata import GRAPH_FAMILIARITY, GRAPH_FILE_INPUT, GRAPH_PIXELS_INPUTS
from retrain.system.program.console import quiet_native_libraries


class ClassifierFunctions(NamedTuple):
    """Two functions that TensorFlow can trace into other functions.

    Attributes:
        decode: From an encoded image file, string scalar, to normalised pixels, float32
            [1, height, width, 3], in the channel order of the metadata.
        classify: From such pixels, float32 [N, height, width, 3], to probabilities, float32
            [N, classes].
        classify_and_compare: From such pixels to probabilities and the familiarity, float32 [N];
            None if the classifier has no familiarity.
    """

    decode: Any
    classify: Any
    classify_and_compare: Any = None


def build(classifier: TrainedClassifier) -> ClassifierFunctions:
    """Builds the functions from the backbone's graph and the head."""
    with quiet_native_libraries():
        import tensorflow as tf

    graph = backbone_graph.load(classifier.backbone)
    # The network reads the last of these inputs. The others only pass their value on.
    pixels = GRAPH_PIXELS_INPUTS[-1]
    decode = _import_between(graph, GRAPH_FILE_INPUT, pixels)
    features = _import_between(
        graph_surgery.with_placeholder(graph, pixels), pixels, classifier.backbone.features_tensor
    )
    head = classifier.head

    def probabilities(computed: Any) -> Any:
        return tf.nn.softmax(tf.matmul(computed, head.weights) + head.bias)

    def classify(value: Any) -> Any:
        return probabilities(features(value))

    if classifier.familiarity is None:
        return ClassifierFunctions(decode, classify)
    start = classifier.backbone.features_tensor
    last_part = type(graph)()
    placeholder = last_part.node.add(op="Placeholder", name=start)
    placeholder.attr["dtype"].type = tf.float32.as_datatype_enum
    familiarity_graph.add(last_part, classifier.familiarity, start)
    familiarity = _import_between(last_part, start, GRAPH_FAMILIARITY)

    def classify_and_compare(value: Any) -> tuple[Any, Any]:
        computed = features(value)
        return probabilities(computed), familiarity(computed)

    return ClassifierFunctions(decode, classify, classify_and_compare)


def _import_between(graph: Any, start: str, end: str) -> Any:
    """Returns a function that computes the node `end` from the value of the node `start`."""
    import tensorflow as tf

    # Pruning the whole graph would keep the decoder's control flow, which no converter supports.
    needed = graph_surgery.extract_up_to(graph, end)
    imported = tf.compat.v1.wrap_function(
        lambda: tf.import_graph_def(needed, name=""), signature=[]
    )
    tensor = imported.graph.get_tensor_by_name
    return imported.prune(tensor(f"{start}:0"), tensor(f"{end}:0"))

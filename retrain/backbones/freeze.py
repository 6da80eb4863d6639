"""Freezes networks into graphs that decode, resize and normalise images themselves."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from retrain.backbones import graph_preprocessing, graph_surgery
from retrain.backbones.backbone import BackboneInfo
from retrain.metadata import (
    FAMILIARITY_SCOPE,
    GRAPH_BOTTLENECK,
    GRAPH_FAMILIARITY,
    GRAPH_FEATURES,
    GRAPH_FILE_INPUT,
    GRAPH_PIXELS_INPUTS,
    STRETCH,
)

# Names of nodes and scopes of the preprocessing that are not in `retrain.metadata`.
_DECODED = "DecodeJpeg"
_DECODE_SCOPE = "decode"
_NORMALISE_SCOPE = "preprocess"

# Node names and scopes that a network without a scope of its own must not use.
RESERVED_NAMES = (
    _DECODED,
    _DECODE_SCOPE,
    _NORMALISE_SCOPE,
    *GRAPH_PIXELS_INPUTS,
    GRAPH_BOTTLENECK,
    GRAPH_FAMILIARITY,
    FAMILIARITY_SCOPE,
)


class InputSpec(NamedTuple):
    """Input images of a network.

    Attributes:
        height: Height in pixels.
        width: Width in pixels.
        mean: Mean to subtract from each channel, in units of 0 to 255.
        std: Standard deviation to divide each channel by after that, in units of 0 to 255.
        channel_order: Order of the channels, "RGB" or "BGR".
        fit: How images of another aspect ratio are resized; see `retrain.data.pixels.decode`.
    """

    height: int
    width: int
    mean: Sequence[float]
    std: Sequence[float]
    channel_order: str
    fit: str = STRETCH

    @classmethod
    def of(cls, info: BackboneInfo, *, fit: str = STRETCH) -> "InputSpec":
        """Returns the input images of a backbone."""
        return cls(info.height, info.width, info.mean, info.std, info.channel_order, fit)


class GraphSlice(NamedTuple):
    """A network in a GraphDef, between two tensors.

    Attributes:
        graph: GraphDef that contains the network.
        start: Name of the input tensor, float32 [N, height, width, 3].
        end: Name of the output tensor with the bottleneck, float32 [N, bottleneck_width].
        scope: Prefix for the names of its nodes in another graph, without a slash at the end.
        extra_input: Additional name under which pixels can be fed, besides GRAPH_PIXELS_INPUTS.
        features: Name of another output tensor, float32 [N, feature_width], with the features of
            earlier stages after those at `end`.
    """

    graph: Any
    start: str
    end: str
    scope: str = "backbone"
    extra_input: str | None = None
    features: str | None = None

    @classmethod
    def from_function(cls, function: Any) -> "GraphSlice":
        """Returns the network in a concrete function without variables.

        Args:
            function: Function that returns the bottleneck and, if there are features of earlier
                stages, all features.
        """
        graph = function.graph.as_graph_def()
        graph_surgery.make_portable(graph)
        end, *features = (output.name for output in function.outputs)
        return cls(graph, function.inputs[0].name, end, features=next(iter(features), None))


def to_graph(
    model: Any, mean: Sequence[float], std: Sequence[float], *, channel_order: str = "RGB"
) -> Any:
    """Returns a Keras model as a GraphDef whose input is an image file or pixels.

    Feeding one of these tensors skips the steps before it:

    - `DecodeJpeg/contents:0`, string scalar: Content of an image file.
    - `DecodeJpeg:0`, uint8 [h, w, 3]: Upright RGB image of any size.
    - `Mul:0`, `input:0` and `Placeholder:0`, float32 [N, height, width, 3]: Resized and normalised
      images in the channel order of the network.

    The output is `bottleneck:0`, float32 [N, bottleneck_width]. If the model also has features of
    earlier stages, `all_features:0`, float32 [N, feature_width], has all of them.

    Args:
        model: Keras model from float32 [N, height, width, 3] to float32 [N, feature_width].
        mean: Mean to subtract from each channel, in units of 0 to 255.
        std: Standard deviation to divide each channel by after that, in units of 0 to 255.
        channel_order: Order of the input channels, "RGB" or "BGR".
    """
    _, height, width, _ = model.input_shape
    network = GraphSlice.from_function(freeze_keras(_with_bottleneck(model), batch_size=None))
    input_spec = InputSpec(
        height=height, width=width, mean=mean, std=std, channel_order=channel_order
    )
    return add_preprocessing(network, input_spec)


def last_layer(model: Any) -> Any:
    """Returns a Keras model that ends at the bottleneck, without features of earlier stages."""
    if not _has_stages(model):
        return model
    return _with_outputs(model, model.get_layer(GRAPH_FEATURES).input[0])


def _has_stages(model: Any) -> bool:
    """Returns whether a Keras model has features of earlier stages, after the bottleneck."""
    return any(layer.name == GRAPH_FEATURES for layer in model.layers)


def _with_bottleneck(model: Any) -> Any:
    """Returns a model with two outputs, if it has stages: the bottleneck and all features."""
    if not _has_stages(model):
        return model
    return _with_outputs(model, [model.get_layer(GRAPH_FEATURES).input[0], model.output])


def _with_outputs(model: Any, outputs: Any) -> Any:
    from tensorflow import keras

    return keras.Model(model.input, outputs, name=model.name)


def freeze_keras(model: Any, *, batch_size: int | None) -> Any:
    """Returns a Keras model in inference mode as a concrete function without variables.

    Args:
        model: Keras model.
        batch_size: Number of images in a call, or None for any number.
    """
    shape = (batch_size, *model.input_shape[1:])
    return freeze_function(lambda pixels: model(pixels, training=False), shape)


def freeze_function(function: Callable[[Any], Any], shape: tuple[int | None, ...]) -> Any:
    """Returns a function of a float32 tensor as a concrete function without variables.

    Args:
        function: Function that TensorFlow can trace.
        shape: Shape of the argument, with None for a dimension of any size.
    """
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    traced = tf.function(function, autograph=False).get_concrete_function(
        tf.TensorSpec(shape, tf.float32)
    )
    return convert_to_constants.convert_variables_to_constants_v2(traced)


def add_preprocessing(network: GraphSlice, input_spec: InputSpec) -> Any:
    """Returns a network as a GraphDef with the tensors that `to_graph` lists."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        output, features = tf.import_graph_def(
            network.graph,
            input_map={network.start: _preprocess(input_spec, network.extra_input)},
            return_elements=[network.end, network.features or network.end],
            name=network.scope,
        )
        if output.name != f"{GRAPH_BOTTLENECK}:0":
            tf.identity(output, f"{GRAPH_BOTTLENECK}/")
        if network.features is not None:
            tf.identity(features, f"{GRAPH_FEATURES}/")
        return _export(graph)


def replace_resizing(graph: Any, input_spec: InputSpec) -> Any:
    """Returns a copy of a graph of `add_preprocessing` that resizes as `input_spec` states.

    Args:
        graph: GraphDef of a backbone.
        input_spec: Input images of its network.
    """
    import tensorflow as tf

    with tf.Graph().as_default() as built:
        _normalise(tf.compat.v1.placeholder(tf.uint8, [None, None, 3], _DECODED), input_spec)
        resizing = _export(built)
    scope = f"{_NORMALISE_SCOPE}/"
    result = type(graph)(versions=graph.versions, library=graph.library)
    result.node.extend(node for node in resizing.node if node.name.startswith(scope))
    result.node.extend(node for node in graph.node if not node.name.startswith(scope))
    return result


def _export(graph: Any) -> Any:
    """Returns the GraphDef of a graph. Old versions of TensorFlow can load it."""
    import tensorflow as tf
    from tensorflow.python.framework import meta_graph

    exported = tf.compat.v1.train.export_meta_graph(graph=graph, clear_devices=True)
    # An older TensorFlow rejects attributes that it does not know, even with default values.
    meta_graph.strip_graph_default_valued_attrs(exported)
    return exported.graph_def


def _preprocess(input_spec: InputSpec, extra_input: str | None) -> Any:
    """Returns a tensor of normalised pixels, computed from a placeholder for an image file."""
    import tensorflow as tf

    v1 = tf.compat.v1
    height, width = input_spec.height, input_spec.width
    contents = v1.placeholder(tf.string, [], GRAPH_FILE_INPUT)
    with tf.name_scope(_DECODE_SCOPE):
        decoded = graph_preprocessing.decode(contents, height, width)
    # A name that ends in a slash is used unchanged, even if there is a name scope of that name.
    decoded = v1.placeholder_with_default(decoded, [None, None, 3], f"{_DECODED}/")
    pixels = _normalise(decoded, input_spec)
    names: tuple[str, ...] = GRAPH_PIXELS_INPUTS
    if extra_input is not None and extra_input not in names:
        names = (extra_input, *names)
    for name in names:
        pixels = v1.placeholder_with_default(pixels, [None, height, width, 3], f"{name}/")
    return pixels


def _normalise(decoded: Any, input_spec: InputSpec) -> Any:
    """Returns the resized and normalised pixels of an upright image."""
    import tensorflow as tf

    height, width = input_spec.height, input_spec.width
    with tf.name_scope(_NORMALISE_SCOPE):
        resized = graph_preprocessing.resize(decoded, height, width, fit=input_spec.fit)
        ordered = resized[..., ::-1] if input_spec.channel_order == "BGR" else resized
        centred = ordered - tf.constant(input_spec.mean, tf.float32)
        return centred / tf.constant(input_spec.std, tf.float32)

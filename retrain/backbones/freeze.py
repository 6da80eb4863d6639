"""A Keras network to the two files of a Backbone."""

import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

from retrain.backbones import graph_preprocessing, graph_surgery
from retrain.system.console import quiet_native_libraries

# Part of the contract with scripts that were written for the graphs of 2015 and since.
CONTENTS = "DecodeJpeg/contents"
DECODED = "DecodeJpeg"
INPUTS = ("Mul", "input", "Placeholder")
BOTTLENECK = "bottleneck"

# Names of nodes begin with these, too.
FRONT_SCOPES = ("decode", "preprocess")

TFLITE_SIGNATURE = "serving_default"
TFLITE_INPUT = "pixels"


class Pixels(NamedTuple):
    """What a network takes: images of this size, so normalised; as of a Backbone."""

    height: int
    width: int
    mean: Sequence[float]
    std: Sequence[float]
    channel_order: str


class Part(NamedTuple):
    """A network in TensorFlow's terms.

    Attributes:
        graph: a GraphDef with the network.
        start: name of the tensor that takes the pixels, float32 [N, height, width, 3].
        end: name of the tensor of the features, float32 [N, feature_width].
        scope: in front of the names of its nodes when it is a part of another graph.
        also_fed: a name under which pixels can be fed, beside INPUTS.
    """

    graph: Any
    start: str
    end: str
    scope: str = "backbone"
    also_fed: str | None = None


def to_tflite(network: Any) -> bytes:
    """Returns `network` as a float32 TFLite file for one image at a time.

    Args:
        network: a Keras model from [N, height, width, 3] to [N, feature_width], float32.
    """
    from tensorflow.python.framework import convert_to_constants

    freeze = convert_to_constants.convert_variables_to_constants_v2
    return function_to_tflite(freeze(_traced(network, batch_size=1)))


def function_to_tflite(frozen: Any) -> bytes:
    """Returns a function as a float32 TFLite file.

    Args:
        frozen: a concrete function without variables, from [1, height, width, 3] to
            [1, feature_width], float32.
    """
    import tensorflow as tf

    # The converter names the input and the output only in what belongs to a module, and loses the
    # weights of a Keras 3 model there without a word, unless they are constants already.
    module = tf.Module()
    module.function = tf.function(
        lambda pixels: {"features": frozen(pixels)[0]},
        input_signature=[tf.TensorSpec(frozen.inputs[0].shape, tf.float32, TFLITE_INPUT)],
    )
    # A swish has a gradient of its own, which nothing that is frozen can be saved with.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with tempfile.TemporaryDirectory() as folder, quiet_native_libraries():
        tf.saved_model.save(module, folder, options=options)
        return tf.lite.TFLiteConverter.from_saved_model(folder).convert()


def try_function_to_tflite(frozen: Any) -> bytes | None:
    """Returns what `function_to_tflite` does, None where TFLite lacks an operation."""
    try:
        return function_to_tflite(frozen)
    # A converter meets what the network's author thought of, and has errors of every type for it.
    except Exception:
        return None


def to_graph(
    network: Any, mean: Sequence[float], std: Sequence[float], channel_order: str = "RGB"
) -> Any:
    """Returns `network` as a GraphDef that takes a file's bytes, or pixels.

    Its tensors, each of which can be fed to skip what comes before it: `DecodeJpeg/contents:0`,
    string scalar, a file's bytes; `DecodeJpeg:0`, uint8 [h, w, 3], RGB, upright, of any size;
    `Mul:0`, `input:0` and `Placeholder:0`, float32 [N, height, width, 3], resized and normalised.
    `bottleneck:0` is float32 [N, feature_width].

    Args:
        network: a Keras model from [N, height, width, 3] to [N, feature_width], float32.
        mean: of each channel, in units of 0 to 255.
        std: of each channel, in units of 0 to 255.
        channel_order: "RGB" or "BGR".
    """
    from tensorflow.python.framework import convert_to_constants

    _, height, width, _ = network.input_shape
    function = _traced(network, batch_size=None)
    frozen = convert_to_constants.convert_variables_to_constants_v2(function)
    part = Part(frozen.graph.as_graph_def(), frozen.inputs[0].name, frozen.outputs[0].name)
    return graph_around(part, Pixels(height, width, mean, std, channel_order))


def graph_around(part: Part, pixels: Pixels) -> Any:
    """Returns a network as a GraphDef like that of `to_graph`.

    Args:
        part: the network.
        pixels: that it takes.
    """
    import tensorflow as tf
    from tensorflow.python.framework import meta_graph

    graph_surgery.replace_erfc(part.graph)
    graph_surgery.forget_gradients(part.graph)
    with tf.Graph().as_default() as graph:
        (output,) = tf.import_graph_def(
            part.graph,
            input_map={part.start: _pixels_from_file(pixels, part.also_fed)},
            return_elements=[part.end],
            name=part.scope,
        )
        if output.name != f"{BOTTLENECK}:0":
            tf.identity(output, f"{BOTTLENECK}/")
        saved = tf.compat.v1.train.export_meta_graph(graph=graph, clear_devices=True)
    # Attributes of a younger TensorFlow are unknown to an older one, even at their defaults.
    meta_graph.strip_graph_default_valued_attrs(saved)
    return saved.graph_def


def _traced(network: Any, batch_size: int | None) -> Any:
    import tensorflow as tf

    shape = (batch_size, *network.input_shape[1:])
    return tf.function(lambda pixels: network(pixels, training=False)).get_concrete_function(
        tf.TensorSpec(shape, tf.float32)
    )


def _pixels_from_file(wanted: Pixels, also_fed: str | None) -> Any:
    import tensorflow as tf

    v1 = tf.compat.v1
    height, width = wanted.height, wanted.width
    contents = v1.placeholder(tf.string, [], CONTENTS)
    with tf.name_scope(FRONT_SCOPES[0]):
        decoded = graph_preprocessing.decode(contents, height, width)
    # A name with a slash at its end is taken as it is, also where it is that of a scope.
    decoded = v1.placeholder_with_default(decoded, [None, None, 3], f"{DECODED}/")
    with tf.name_scope(FRONT_SCOPES[1]):
        resized = graph_preprocessing.resize(decoded, height, width)
        ordered = resized[..., ::-1] if wanted.channel_order == "BGR" else resized
        centred = ordered - tf.constant(wanted.mean, tf.float32)
        pixels = centred / tf.constant(wanted.std, tf.float32)
    names = INPUTS if also_fed in (None, *INPUTS) else (also_fed, *INPUTS)
    for name in names:
        pixels = v1.placeholder_with_default(pixels, [None, height, width, 3], f"{name}/")
    return pixels

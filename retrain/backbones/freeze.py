"""A Keras network to the two files of a Backbone."""

import tempfile
from collections.abc import Sequence
from typing import Any

from retrain.backbones import graph_pixels
from retrain.runtime import quiet_native_libraries

# Part of the contract with scripts that were written for the graphs of 2015 and since.
CONTENTS = "DecodeJpeg/contents"
DECODED = "DecodeJpeg"
INPUTS = ("Mul", "input", "Placeholder")
BOTTLENECK = "bottleneck"

FLATBUFFER_SIGNATURE = "serving_default"
FLATBUFFER_INPUT = "pixels"


def to_flatbuffer(network: Any) -> bytes:
    """Returns `network` as a float32 TFLite file for one picture at a time.

    Args:
        network: a Keras model from [N, height, width, 3] to [N, feature_width], float32.
    """
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    frozen = convert_to_constants.convert_variables_to_constants_v2(_traced(network, batch_size=1))
    # The converter names the input and the output only in what belongs to a module, and loses the
    # weights of a Keras 3 model there without a word, unless they are constants already.
    module = tf.Module()
    module.function = tf.function(
        lambda pixels: {"features": frozen(pixels)[0]},
        input_signature=[tf.TensorSpec(frozen.inputs[0].shape, tf.float32, FLATBUFFER_INPUT)],
    )
    # A swish has a gradient of its own, which nothing that is frozen can be saved with.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with tempfile.TemporaryDirectory() as folder, quiet_native_libraries():
        tf.saved_model.save(module, folder, options=options)
        return tf.lite.TFLiteConverter.from_saved_model(folder).convert()


def to_graph(network: Any, mean: Sequence[float], std: Sequence[float]) -> Any:
    """Returns `network` as a GraphDef that takes a file's bytes, or pixels.

    Its tensors, each of which can be fed to skip what comes before it: `DecodeJpeg/contents:0`,
    string scalar, a file's bytes; `DecodeJpeg:0`, uint8 [h, w, 3], RGB, upright, of any size;
    `Mul:0`, `input:0` and `Placeholder:0`, float32 [N, height, width, 3], resized and normalised.
    `bottleneck:0` is float32 [N, feature_width].

    Args:
        network: a Keras model from [N, height, width, 3] to [N, feature_width], float32.
        mean: of each channel, in units of 0 to 255.
        std: of each channel, in units of 0 to 255.
    """
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants, meta_graph

    _, height, width, _ = network.input_shape
    function = _traced(network, batch_size=None)
    frozen = convert_to_constants.convert_variables_to_constants_v2(function)
    with tf.Graph().as_default() as graph:
        pixels = _pixels_from_file(height, width, mean, std)
        (output,) = tf.import_graph_def(
            frozen.graph.as_graph_def(),
            input_map={frozen.inputs[0].name: pixels},
            return_elements=[frozen.outputs[0].name],
            name="backbone",
        )
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


def _pixels_from_file(height: int, width: int, mean: Sequence[float], std: Sequence[float]) -> Any:
    import tensorflow as tf

    v1 = tf.compat.v1
    contents = v1.placeholder(tf.string, [], CONTENTS)
    with tf.name_scope("decode"):
        decoded = graph_pixels.decode(contents, height, width)
    # A name with a slash at its end is taken as it is, also where it is that of a scope.
    decoded = v1.placeholder_with_default(decoded, [None, None, 3], f"{DECODED}/")
    with tf.name_scope("preprocess"):
        resized = graph_pixels.resize(decoded, height, width)
        pixels = (resized - tf.constant(mean, tf.float32)) / tf.constant(std, tf.float32)
    for name in INPUTS:
        pixels = v1.placeholder_with_default(pixels, [None, height, width, 3], f"{name}/")
    return pixels

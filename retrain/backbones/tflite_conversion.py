"""Converts networks to float32 TFLite files for one image at a time."""

from typing import Any

from retrain.backbones import freeze
from retrain.system.files.write_errors import disk_error
from retrain.system.outputs.temporary_folders import temporary_folder
from retrain.system.program.console import quiet_native_libraries

# Names in the files.
SIGNATURE = "serving_default"
INPUT = "pixels"
_OUTPUT = "features"


def convert_keras(model: Any) -> bytes:
    """Returns a Keras model as a TFLite file.

    Args:
        model: Keras model from float32 [N, height, width, 3] to float32 [N, feature_width].
    """
    return convert(freeze.freeze_keras(model, batch_size=1))


def convert(function: Any) -> bytes:
    """Returns a function as a TFLite file.

    Args:
        function: Concrete function without variables, from float32 [1, height, width, 3] to
            float32 [1, feature_width].
    """
    import tensorflow as tf

    # The converter keeps the names of the input and the output only if the function belongs to a
    # module. It silently loses the weights of a Keras 3 model in a module, unless the weights are
    # constants.
    module = tf.Module()
    module.function = tf.function(
        lambda pixels: {_OUTPUT: function(pixels)[0]},
        input_signature=[tf.TensorSpec(function.inputs[0].shape, tf.float32, INPUT)],
    )
    # Swish has a custom gradient, which cannot be saved with a frozen function.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with temporary_folder() as folder, quiet_native_libraries():
        tf.saved_model.save(module, str(folder), options=options)
        return tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert()


def convert_if_supported(function: Any) -> bytes | None:
    """Returns the result of `convert`, or None if TFLite does not support an operation."""
    try:
        return convert(function)
    # The converter raises exceptions of many types for operations that it does not support.
    except Exception as error:
        if disk_error(error):
            raise
        return None

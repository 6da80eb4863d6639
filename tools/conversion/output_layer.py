"""Finds out whether the scores of a classifier are logits or have an activation."""

from typing import Any

from retrain.system.program.console import quiet_native_libraries
from tools.conversion.source import SourceClassifier

# Operations that pass on the values of their input.
_SAME_VALUES = ("Identity", "Cast", "Reshape", "Squeeze", "ExpandDims")
_SUMS = ("BiasAdd", "Add", "AddV2")


def is_linear(source: SourceClassifier) -> bool:
    """Returns whether the last operation is that of a dense layer without activation."""
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    spec = tf.TensorSpec((1, source.height, source.width, source.channels), tf.float32)
    with quiet_native_libraries():
        traced = tf.function(source.scores, [spec], autograph=False).get_concrete_function()
        # Also puts the operations of inner functions into one graph.
        frozen = convert_to_constants.convert_variables_to_constants_v2(traced)
    operation = _without_copies(frozen.outputs[0].op)
    if operation.type in _SUMS:
        return any(_without_copies(tensor.op).type == "MatMul" for tensor in operation.inputs)
    return bool(operation.type == "MatMul")


def _without_copies(operation: Any) -> Any:
    while operation.type in _SAME_VALUES:
        operation = operation.inputs[0].op
    return operation

"""Evaluates an ML Program (`.mlpackage`), one operation after the other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retrain.export.coreml_reference.errors import UnsupportedOperationError
from retrain.export.coreml_reference.operations import OPERATIONS


class MLProgram:
    """An ML Program that TensorFlow can trace.

    Attributes:
        labels: Class labels in the order of the probabilities.
    """

    def __init__(self, spec: Any, weights_dir: Path) -> None:
        """Reads the operations and their weights from a package.

        Args:
            spec: `Model` message of the package.
            weights_dir: Folder with the weights in the package.

        Raises:
            UnsupportedOperationError: If an operation is not supported, or the program is not a
                classifier.
        """
        from coremltools.converters.mil.frontend.milproto import load

        program = load.load(spec, spec.specificationVersion, str(weights_dir))
        (function,) = program.functions.values()
        (self._input,) = function.inputs
        self._operations = [o for o in function.operations if o.op_type != "const"]
        supported = {*OPERATIONS, "classify"}
        unsupported = sorted({o.op_type for o in self._operations} - supported)
        if unsupported:
            raise UnsupportedOperationError(f"ML Program operations {', '.join(unsupported)}")
        if not self._operations or self._operations[-1].op_type != "classify":
            raise UnsupportedOperationError("an ML Program that does not end in `classify`")
        self._classify = self._operations.pop()
        self.labels = tuple(self._classify.inputs["classes"].val)

    def __call__(self, image: Any) -> Any:
        """Returns probabilities, float32 [1, classes].

        Args:
            image: Image, float32 [1, channels, height, width], 0 to 255, in the channel order of
                the package.
        """
        values = {self._input: image}
        for operation in self._operations:
            arguments = {name: _value(v, values) for name, v in operation.inputs.items()}
            (output,) = operation.outputs
            result = OPERATIONS[operation.op_type](arguments)
            values[output.name] = _round_to_type(result, output)
        return values[self._classify.inputs["probabilities"].name]


def _value(variable: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(variable, (list, tuple)):
        return [_value(each, values) for each in variable]
    if variable is None:
        return None
    if variable.name in values:
        return values[variable.name]
    constant = variable.val
    half = isinstance(constant, (np.ndarray, np.generic)) and constant.dtype == np.float16
    return constant.astype(np.float32) if half else constant


def _round_to_type(value: Any, variable: Any) -> Any:
    """Rounds a result to the type in which the program stores it."""
    import tensorflow as tf
    from coremltools.converters.mil.mil import types

    if variable.dtype == types.fp16:
        return tf.cast(tf.cast(value, tf.float16), tf.float32)
    if variable.dtype == types.fp32:
        return value
    raise UnsupportedOperationError(f"a result of type {types.builtin_to_string(variable.dtype)}")

"""The operations of an ML Program (`.mlpackage`), evaluated one after the other.

What they mean: https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retrain.export.coreml_reference import kernels
from retrain.export.coreml_reference.kernels import UnknownOperationError

Arguments = Mapping[str, Any]


class Program:
    """An ML Program that can be traced by TensorFlow.

    Attributes:
        labels: the classes, in the order of the probabilities.
    """

    def __init__(self, spec: Any, weights_dir: Path) -> None:
        """Reads the operations and their weights from a package.

        Args:
            spec: the package's `Model`.
            weights_dir: the package's folder of weights.

        Raises:
            UnknownOperationError: there is an operation that is not in this file, or no classifier.
        """
        from coremltools.converters.mil.frontend.milproto import load

        program = load.load(spec, spec.specificationVersion, str(weights_dir))
        (function,) = program.functions.values()
        (self._input,) = function.inputs
        self._operations = [o for o in function.operations if o.op_type != "const"]
        known = {*_OPERATIONS, "classify"}
        unknown = sorted({o.op_type for o in self._operations} - known)
        if unknown:
            raise UnknownOperationError(f"ML Program operations {', '.join(unknown)}")
        if not self._operations or self._operations[-1].op_type != "classify":
            raise UnknownOperationError("an ML Program that does not end in `classify`")
        self._classify = self._operations.pop()
        self.labels = tuple(self._classify.inputs["classes"].val)

    def __call__(self, images: Any) -> Any:
        """Returns probabilities, float32 [1, classes].

        Args:
            images: float32 [1, channels, height, width], 0 to 255, in the channel order of the
                package.
        """
        values = {self._input: images}
        for operation in self._operations:
            arguments = {name: _value(v, values) for name, v in operation.inputs.items()}
            (output,) = operation.outputs
            values[output.name] = _stored(_OPERATIONS[operation.op_type](arguments), output)
        return values[self._classify.inputs["probabilities"].name]


def _value(variable: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(variable, (list, tuple)):
        return [_value(each, values) for each in variable]
    if variable is None or variable.name in values:
        return variable if variable is None else values[variable.name]
    constant = variable.val
    half = isinstance(constant, (np.ndarray, np.generic)) and constant.dtype == np.float16
    return constant.astype(np.float32) if half else constant


def _stored(value: Any, variable: Any) -> Any:
    """Returns what is left of a result in the type in which the program keeps it."""
    import tensorflow as tf
    from coremltools.converters.mil.mil import types

    if variable.dtype == types.fp16:
        return tf.cast(tf.cast(value, tf.float16), tf.float32)
    if variable.dtype == types.fp32:
        return value
    raise UnknownOperationError(
        f"an operation that computes {types.builtin_to_string(variable.dtype)}"
    )


def _window(of: Arguments, size: Any, dilations: Any) -> kernels.Window:
    padding = of["pad"] if of["pad_type"] == "custom" else of["pad_type"]
    return kernels.window(of["x"].shape, size, of["strides"], dilations, padding)


def _conv(of: Arguments) -> Any:
    over = _window(of, of["weight"].shape[2:], of["dilations"])
    return kernels.convolve(of["x"], of["weight"], of.get("bias"), over, of["groups"])


def _max_pool(of: Arguments) -> Any:
    _refuse_ceil_mode(of)
    return kernels.max_pool(of["x"], _window(of, of["kernel_sizes"], (1, 1)))


def _average_pool(of: Arguments) -> Any:
    _refuse_ceil_mode(of)
    over = _window(of, of["kernel_sizes"], (1, 1))
    return kernels.average_pool(of["x"], over, of["exclude_padding_from_average"])


def _refuse_ceil_mode(of: Arguments) -> None:
    if of["ceil_mode"]:
        raise UnknownOperationError("a pooling with ceil_mode")


def _batch_norm(of: Arguments) -> Any:
    parameters = (of["mean"], of["variance"], of.get("gamma"), of.get("beta"))
    return kernels.normalise(of["x"], *parameters, of["epsilon"])


def _linear(of: Arguments) -> Any:
    import tensorflow as tf

    return tf.matmul(of["x"], of["weight"], transpose_b=True) + of["bias"]


def _matmul(of: Arguments) -> Any:
    import tensorflow as tf

    return tf.matmul(of["x"], of["y"], bool(of["transpose_x"]), bool(of["transpose_y"]))


def _layer_norm(of: Arguments) -> Any:
    import tensorflow as tf

    axes = [int(axis) for axis in of["axes"]]
    mean, variance = tf.nn.moments(of["x"], axes, keepdims=True)
    result = (of["x"] - mean) / tf.sqrt(variance + of["epsilon"])
    if of.get("gamma") is not None:
        result *= of["gamma"]
    return result if of.get("beta") is None else result + of["beta"]


def _gelu(of: Arguments) -> Any:
    import tensorflow as tf

    if of["mode"] == "SIGMOID_APPROXIMATION":
        return of["x"] * tf.sigmoid(1.702 * of["x"])
    return tf.nn.gelu(of["x"], approximate=of["mode"] != "EXACT")


def _elementwise(name: str) -> Callable[[Arguments], Any]:
    """Returns what applies a function of `tf.math` to each number."""

    def apply(of: Arguments) -> Any:
        import tensorflow as tf

        return getattr(tf.math, name)(of["x"])

    return apply


def _rsqrt(of: Arguments) -> Any:
    import tensorflow as tf

    return tf.math.rsqrt(of["x"] + of["epsilon"])


def _pad(of: Arguments) -> Any:
    import tensorflow as tf

    if of["mode"] != "constant":
        raise UnknownOperationError(f"a pad with mode {of['mode']}")
    # The amounts are those of the last axes.
    last = np.reshape(of["pad"], (-1, 2)).tolist()
    amounts = [[0, 0]] * (len(of["x"].shape) - len(last)) + last
    return tf.pad(of["x"], amounts, constant_values=of["constant_val"])


def _slice(of: Arguments) -> Any:
    masks = (of.get(name) for name in ("begin_mask", "end_mask", "squeeze_mask"))
    return kernels.part(of["x"], of["begin"], of["end"], of.get("stride"), *masks)


def _reduce_mean(of: Arguments) -> Any:
    import tensorflow as tf

    return tf.reduce_mean(of["x"], of["axes"].tolist(), keepdims=bool(of["keep_dims"]))


def _softmax(of: Arguments) -> Any:
    import tensorflow as tf

    return tf.nn.softmax(of["x"], int(of["axis"]))


def _concat(of: Arguments) -> Any:
    import tensorflow as tf

    return tf.concat(of["values"], int(of["axis"]))


def _transpose(of: Arguments) -> Any:
    import tensorflow as tf

    return tf.transpose(of["x"], of["perm"])


def _reshape(of: Arguments) -> Any:
    import tensorflow as tf

    return tf.reshape(of["x"], of["shape"])


def _relu(of: Arguments) -> Any:
    import tensorflow as tf

    return tf.nn.relu(of["x"])


def _relu6(of: Arguments) -> Any:
    import tensorflow as tf

    return tf.clip_by_value(of["x"], 0.0, 6.0)


def _sigmoid(of: Arguments) -> Any:
    import tensorflow as tf

    return tf.sigmoid(of["x"])


_OPERATIONS: dict[str, Callable[[Arguments], Any]] = {
    "add": lambda of: of["x"] + of["y"],
    "avg_pool": _average_pool,
    "batch_norm": _batch_norm,
    # What the type of a result does to it is done to the results of all operations.
    "cast": lambda of: of["x"],
    "concat": _concat,
    "conv": _conv,
    "erf": _elementwise("erf"),
    "exp": _elementwise("exp"),
    "gelu": _gelu,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "matmul": _matmul,
    "max_pool": _max_pool,
    "mul": lambda of: of["x"] * of["y"],
    "pad": _pad,
    "real_div": lambda of: of["x"] / of["y"],
    "reduce_mean": _reduce_mean,
    "relu": _relu,
    "relu6": _relu6,
    "reshape": _reshape,
    "rsqrt": _rsqrt,
    "sigmoid": _sigmoid,
    "silu": lambda of: of["x"] * _sigmoid(of),
    "slice_by_index": _slice,
    "softmax": _softmax,
    "sqrt": _elementwise("sqrt"),
    "square": _elementwise("square"),
    "sub": lambda of: of["x"] - of["y"],
    "tanh": _elementwise("tanh"),
    "transpose": _transpose,
}

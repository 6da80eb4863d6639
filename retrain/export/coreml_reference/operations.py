"""The operations of ML Programs, as functions of the operation's arguments by name.

Specification:
https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from retrain.export.coreml_reference import kernels
from retrain.export.coreml_reference.errors import UnsupportedOperationError

Arguments = Mapping[str, Any]


def _window(args: Arguments, size: Any, *, dilations: Any = (1, 1)) -> kernels.Window:
    padding = args["pad"] if args["pad_type"] == "custom" else args["pad_type"]
    return kernels.make_window(
        args["x"].shape, size, strides=args["strides"], dilations=dilations, padding=padding
    )


def _conv(args: Arguments) -> Any:
    weights = args["weight"]
    window = _window(args, weights.shape[2:], dilations=args["dilations"])
    return kernels.convolve(
        args["x"], weights, bias=args.get("bias"), window=window, groups=args["groups"]
    )


def _max_pool(args: Arguments) -> Any:
    _reject_ceil_mode(args)
    return kernels.max_pool(args["x"], _window(args, args["kernel_sizes"]))


def _average_pool(args: Arguments) -> Any:
    _reject_ceil_mode(args)
    window = _window(args, args["kernel_sizes"])
    exclude_padding = bool(args["exclude_padding_from_average"])
    return kernels.average_pool(args["x"], window, exclude_padding=exclude_padding)


def _reject_ceil_mode(args: Arguments) -> None:
    if args["ceil_mode"]:
        raise UnsupportedOperationError("pooling with ceil_mode")


def _batch_norm(args: Arguments) -> Any:
    return kernels.batch_normalise(
        args["x"],
        mean=args["mean"],
        variance=args["variance"],
        gamma=args.get("gamma"),
        beta=args.get("beta"),
        epsilon=args["epsilon"],
    )


def _linear(args: Arguments) -> Any:
    import tensorflow as tf

    return tf.matmul(args["x"], args["weight"], transpose_b=True) + args["bias"]


def _matmul(args: Arguments) -> Any:
    import tensorflow as tf

    return tf.matmul(args["x"], args["y"], bool(args["transpose_x"]), bool(args["transpose_y"]))


def _layer_norm(args: Arguments) -> Any:
    import tensorflow as tf

    axes = [int(axis) for axis in args["axes"]]
    mean, variance = tf.nn.moments(args["x"], axes, keepdims=True)
    result = (args["x"] - mean) / tf.sqrt(variance + args["epsilon"])
    if args.get("gamma") is not None:
        result *= args["gamma"]
    return result if args.get("beta") is None else result + args["beta"]


def _gelu(args: Arguments) -> Any:
    import tensorflow as tf

    if args["mode"] == "SIGMOID_APPROXIMATION":
        return args["x"] * tf.sigmoid(1.702 * args["x"])
    return tf.nn.gelu(args["x"], approximate=args["mode"] != "EXACT")


def _elementwise(name: str) -> Callable[[Arguments], Any]:
    """Returns an operation that applies a function of `tf.math` to `x`."""

    def apply(args: Arguments) -> Any:
        import tensorflow as tf

        return getattr(tf.math, name)(args["x"])

    return apply


def _rsqrt(args: Arguments) -> Any:
    import tensorflow as tf

    return tf.math.rsqrt(args["x"] + args["epsilon"])


def _pad(args: Arguments) -> Any:
    import tensorflow as tf

    if args["mode"] != "constant":
        raise UnsupportedOperationError(f"padding with mode {args['mode']}")
    # The amounts are for the last axes only.
    last = np.reshape(args["pad"], (-1, 2)).tolist()
    amounts = [[0, 0]] * (len(args["x"].shape) - len(last)) + last
    return tf.pad(args["x"], amounts, constant_values=args["constant_val"])


def _slice(args: Arguments) -> Any:
    options = ("stride", "begin_mask", "end_mask", "squeeze_mask")
    return kernels.slice_array(
        args["x"], args["begin"], args["end"], **{name: args.get(name) for name in options}
    )


def _reduce_mean(args: Arguments) -> Any:
    import tensorflow as tf

    return tf.reduce_mean(args["x"], args["axes"].tolist(), keepdims=bool(args["keep_dims"]))


def _softmax(args: Arguments) -> Any:
    import tensorflow as tf

    return tf.nn.softmax(args["x"], int(args["axis"]))


def _concat(args: Arguments) -> Any:
    import tensorflow as tf

    return tf.concat(args["values"], int(args["axis"]))


def _transpose(args: Arguments) -> Any:
    import tensorflow as tf

    return tf.transpose(args["x"], args["perm"])


def _reshape(args: Arguments) -> Any:
    import tensorflow as tf

    return tf.reshape(args["x"], args["shape"])


def _relu(args: Arguments) -> Any:
    import tensorflow as tf

    return tf.nn.relu(args["x"])


def _relu6(args: Arguments) -> Any:
    import tensorflow as tf

    return tf.clip_by_value(args["x"], 0.0, 6.0)


def _sigmoid(args: Arguments) -> Any:
    import tensorflow as tf

    return tf.sigmoid(args["x"])


OPERATIONS: dict[str, Callable[[Arguments], Any]] = {
    "add": lambda args: args["x"] + args["y"],
    "avg_pool": _average_pool,
    "batch_norm": _batch_norm,
    # MLProgram rounds every result to its type.
    "cast": lambda args: args["x"],
    "concat": _concat,
    "conv": _conv,
    "erf": _elementwise("erf"),
    "exp": _elementwise("exp"),
    "gelu": _gelu,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "matmul": _matmul,
    "max_pool": _max_pool,
    "mul": lambda args: args["x"] * args["y"],
    "pad": _pad,
    "real_div": lambda args: args["x"] / args["y"],
    "reduce_mean": _reduce_mean,
    "relu": _relu,
    "relu6": _relu6,
    "reshape": _reshape,
    "rsqrt": _rsqrt,
    "sigmoid": _sigmoid,
    "silu": lambda args: args["x"] * _sigmoid(args),
    "slice_by_index": _slice,
    "softmax": _softmax,
    "sqrt": _elementwise("sqrt"),
    "square": _elementwise("square"),
    "sub": lambda args: args["x"] - args["y"],
    "tanh": _elementwise("tanh"),
    "transpose": _transpose,
}

"""The layers of neural networks, as functions of the layer's parameters and its inputs.

Specification: https://apple.github.io/coremltools/mlmodel/Format/NeuralNetwork.html
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrain.export.coreml_reference import kernels
from retrain.export.coreml_reference.errors import UnsupportedOperationError


def _weights(params: Any, *shape: int) -> np.ndarray:
    if params.floatValue:
        values = np.array(params.floatValue, np.float32)
    elif params.float16Value:
        values = np.frombuffer(params.float16Value, "<f2").astype(np.float32)
    else:
        raise UnsupportedOperationError("weights of fewer than 16 bits")
    return values.reshape(shape)


def _window(
    params: Any, x: Any, size: Sequence[int], *, dilations: Sequence[int] = (1, 1)
) -> kernels.Window:
    (padding_type,) = params.DESCRIPTOR.oneofs
    kind = params.WhichOneof(padding_type.name)
    strides = tuple(params.stride) or (1, 1)
    if kind == "same":
        padding: Sequence[int] | str = "same_lower" if params.same.asymmetryMode else "same"
    elif kind == "valid":
        padding = _borders(params.valid.paddingAmounts)
    else:
        raise UnsupportedOperationError(f"a window with {kind} padding")
    return kernels.make_window(x.shape, size, strides=strides, dilations=dilations, padding=padding)


def _borders(amounts: Any) -> tuple[int, ...]:
    """Returns the padding before and after the rows, and before and after the columns."""
    return tuple(
        edge
        for border in amounts.borderAmounts
        for edge in (border.startEdgeSize, border.endEdgeSize)
    ) or (0, 0, 0, 0)


def _convolution(params: Any, x: Any) -> Any:
    if params.isDeconvolution:
        raise UnsupportedOperationError("a transposed convolution")
    size = tuple(params.kernelSize)
    weights = _weights(params.weights, params.outputChannels, params.kernelChannels, *size)
    bias = _weights(params.bias, params.outputChannels) if params.hasBias else None
    window = _window(params, x, size, dilations=tuple(params.dilationFactor) or (1, 1))
    return kernels.convolve(x, weights, bias=bias, window=window, groups=params.nGroups)


def _pooling(params: Any, x: Any) -> Any:
    import tensorflow as tf

    kind = params.PoolingType.Name(params.type)
    if params.globalPooling:
        reduce = {"MAX": tf.reduce_max, "AVERAGE": tf.reduce_mean}.get(kind)
        if reduce:
            return reduce(x, (2, 3), keepdims=True)
    elif kind in ("MAX", "AVERAGE"):
        window = _window(params, x, tuple(params.kernelSize))
        if kind == "MAX":
            return kernels.max_pool(x, window)
        return kernels.average_pool(x, window, exclude_padding=params.avgPoolExcludePadding)
    raise UnsupportedOperationError(f"pooling of type {kind}")


def _activation(params: Any, x: Any) -> Any:
    import tensorflow as tf

    kind = params.WhichOneof("NonlinearityType")
    if kind == "ReLU":
        return tf.nn.relu(x)
    if kind == "sigmoid":
        return tf.sigmoid(x)
    if kind == "linear":
        return params.linear.alpha * x + params.linear.beta
    raise UnsupportedOperationError(f"the activation {kind}")


def _unary(params: Any, x: Any) -> Any:
    import tensorflow as tf

    kind = params.Operation.Name(params.type)
    if kind != "THRESHOLD":
        raise UnsupportedOperationError(f"the unary function {kind}")
    return tf.maximum(params.alpha, params.scale * x + params.shift)


def _add(params: Any, *inputs: Any) -> Any:
    return sum(inputs) if len(inputs) > 1 else inputs[0] + params.alpha


def _multiply(params: Any, *inputs: Any) -> Any:
    return math.prod(inputs) if len(inputs) > 1 else inputs[0] * params.alpha


def _concat(params: Any, *inputs: Any) -> Any:
    import tensorflow as tf

    if params.sequenceConcat:
        raise UnsupportedOperationError("the concatenation of sequences")
    return tf.concat(inputs, 1)


def _concat_nd(params: Any, *inputs: Any) -> Any:
    import tensorflow as tf

    if params.interleave:
        raise UnsupportedOperationError("an interleaving concatenation")
    return tf.concat(inputs, params.axis)


def _padding(params: Any, x: Any) -> Any:
    import tensorflow as tf

    kind = params.WhichOneof("PaddingType")
    if kind != "constant":
        raise UnsupportedOperationError(f"padding of type {kind}")
    top, bottom, left, right = _borders(params.paddingAmounts)
    amounts = [(0, 0), (0, 0), (top, bottom), (left, right)]
    return tf.pad(x, amounts, constant_values=params.constant.value)


def _inner_product(params: Any, x: Any) -> Any:
    import tensorflow as tf

    weights = _weights(params.weights, params.outputChannels, params.inputChannels)
    result = tf.matmul(x, weights, transpose_b=True)
    return result + _weights(params.bias, params.outputChannels) if params.hasBias else result


def _batchnorm(params: Any, x: Any) -> Any:
    if params.computeMeanVar or params.instanceNormalization:
        raise UnsupportedOperationError("a batch normalisation that computes its mean")
    arrays = (params.mean, params.variance, params.gamma, params.beta)
    mean, variance, gamma, beta = (_weights(array, params.channels) for array in arrays)
    return kernels.batch_normalise(
        x, mean=mean, variance=variance, gamma=gamma, beta=beta, epsilon=params.epsilon
    )


def _constant(params: Any) -> Any:
    import tensorflow as tf

    return tf.constant(_weights(params.data, *params.shape))


def _reduce_mean(params: Any, x: Any) -> Any:
    import tensorflow as tf

    axes = None if params.reduceAll else list(params.axes)
    return tf.reduce_mean(x, axes, keepdims=params.keepDims)


def _reshape(params: Any, x: Any) -> Any:
    import tensorflow as tf

    return tf.reshape(x, list(params.targetShape))


def _slice(params: Any, x: Any) -> Any:
    return kernels.slice_array(
        x,
        params.beginIds,
        params.endIds,
        stride=params.strides,
        begin_mask=params.beginMasks,
        end_mask=params.endMasks,
        squeeze_mask=params.squeezeMasks or None,
    )


def _softmax(params: Any, x: Any) -> Any:
    import tensorflow as tf

    return tf.nn.softmax(x, params.axis)


def _transpose(params: Any, x: Any) -> Any:
    import tensorflow as tf

    return tf.transpose(x, list(params.axes))


LAYERS: dict[str, Callable[..., Any]] = {
    "activation": _activation,
    "add": _add,
    "addBroadcastable": _add,
    "batchnorm": _batchnorm,
    "concat": _concat,
    "concatND": _concat_nd,
    "convolution": _convolution,
    "divideBroadcastable": lambda params, x, y: x / y,
    "innerProduct": _inner_product,
    "loadConstantND": _constant,
    "multiply": _multiply,
    "multiplyBroadcastable": _multiply,
    "padding": _padding,
    "pooling": _pooling,
    "reduceMean": _reduce_mean,
    "reshapeStatic": _reshape,
    "sliceStatic": _slice,
    "softmaxND": _softmax,
    "subtractBroadcastable": lambda params, x, y: x - y,
    "transpose": _transpose,
    "unary": _unary,
}

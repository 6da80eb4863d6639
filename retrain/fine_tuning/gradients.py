"""Computes gradients of convolutions faster than TensorFlow's own kernels for CPUs.

The forward pass stays as it is. `tests/benchmarks/training_steps.py` measures the gain.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

_CONVOLUTION, _DEPTHWISE, _BIAS = "FastConv2D", "FastDepthwiseConv2D", "FastBiasAdd"

# TensorFlow computes gradients of 5 x 5 depthwise kernels without oneDNN, those of 3 x 3 with it.
_SLOW_KERNEL, _FAST_KERNEL = 5, 3


@contextlib.contextmanager
def fast_gradients() -> Iterator[None]:
    """Replaces the gradients of the convolutions that the current graph adds in this block.

    Only `tf.gradients` uses them; `tf.GradientTape` does not.
    """
    import tensorflow as tf

    _register()
    overrides = {
        "Conv2D": _CONVOLUTION,
        "DepthwiseConv2dNative": _DEPTHWISE,
        "BiasAdd": _BIAS,
    }
    with tf.compat.v1.get_default_graph().gradient_override_map(overrides):
        yield


def _register() -> None:
    """Registers the gradients by name, once for the process."""
    import tensorflow as tf

    gradients = {
        _CONVOLUTION: _convolution_gradients,
        _DEPTHWISE: _depthwise_gradients,
        _BIAS: _bias_gradients,
    }
    for name, function in gradients.items():
        with contextlib.suppress(KeyError):  # It is registered already.
            tf.RegisterGradient(name)(function)


def _convolution_gradients(operation: Any, gradient: Any) -> tuple[Any, Any]:
    """Returns the gradients of the input and of the kernel of a Conv2D operation.

    A 1 x 1 convolution is a product of matrices, and so are its gradients.
    """
    import tensorflow as tf

    inputs, kernel = operation.inputs
    if not _is_pointwise(operation):
        return _default_convolution_gradients(operation, gradient)
    channels, filters = kernel.shape[2:]
    flat_gradient = tf.reshape(gradient, (-1, filters))
    flat_inputs = tf.reshape(inputs, (-1, channels))
    by_kernel = tf.matmul(flat_inputs, flat_gradient, transpose_a=True)
    by_inputs = tf.matmul(flat_gradient, kernel[0, 0], transpose_b=True)
    return tf.reshape(by_inputs, tf.shape(inputs)), by_kernel[tf.newaxis, tf.newaxis]


def _is_pointwise(operation: Any) -> bool:
    _, kernel = operation.inputs
    return (
        operation.get_attr("data_format") == b"NHWC"
        and tuple(kernel.shape[:2]) == (1, 1)
        and set(operation.get_attr("strides")) == {1}
        # With groups of channels, the kernel has fewer input channels.
        and operation.inputs[0].shape[3] == kernel.shape[2]
        and operation.get_attr("padding") in (b"SAME", b"VALID")
    )


def _default_convolution_gradients(operation: Any, gradient: Any) -> tuple[Any, Any]:
    import tensorflow as tf

    inputs, kernel = operation.inputs
    attributes = {
        name: operation.get_attr(name)
        for name in ("strides", "padding", "explicit_paddings", "data_format", "dilations")
    }
    return (
        tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(inputs), filter=kernel, out_backprop=gradient, **attributes
        ),
        tf.raw_ops.Conv2DBackpropFilter(
            input=inputs, filter_sizes=tf.shape(kernel), out_backprop=gradient, **attributes
        ),
    )


def _depthwise_gradients(operation: Any, gradient: Any) -> tuple[Any, Any]:
    """Returns the gradients of the input and of the kernel of a depthwise convolution."""
    import tensorflow as tf

    inputs, kernel = operation.inputs
    attributes = {
        name: operation.get_attr(name)
        for name in ("strides", "padding", "explicit_paddings", "data_format", "dilations")
    }
    if inputs.dtype == tf.bfloat16 and _is_plain(operation):
        if tuple(kernel.shape[:2]) == (_SLOW_KERNEL, _SLOW_KERNEL):
            by_kernel = _kernel_gradient_in_parts(operation, gradient)
        else:
            by_kernel = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=inputs, filter_sizes=tf.shape(kernel), out_backprop=gradient, **attributes
            )
        return _input_gradient(operation, gradient, attributes), by_kernel
    return (
        tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=tf.shape(inputs), filter=kernel, out_backprop=gradient, **attributes
        ),
        tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=inputs, filter_sizes=tf.shape(kernel), out_backprop=gradient, **attributes
        ),
    )


def _is_plain(operation: Any) -> bool:
    """Returns whether a depthwise convolution has one of the usual layouts."""
    inputs, kernel = operation.inputs
    return (
        kernel.shape[3] == 1
        and operation.get_attr("data_format") == b"NHWC"
        and set(operation.get_attr("dilations")) == {1}
        and operation.get_attr("padding") in (b"SAME", b"VALID")
        and None not in inputs.shape[1:]
    )


def _input_gradient(operation: Any, gradient: Any, attributes: dict[str, Any]) -> Any:
    """Returns the gradient of the input of a plain depthwise convolution in bfloat16."""
    import tensorflow as tf

    inputs, kernel = operation.inputs
    strides = attributes["strides"]
    if set(strides) == {1}:
        is_same = attributes["padding"] == b"SAME"
        if is_same and kernel.shape[0] % 2 and kernel.shape[1] % 2:
            # The same convolution with the flipped kernel, whose forward pass is fast.
            return tf.nn.depthwise_conv2d(gradient, kernel[::-1, ::-1], strides, "SAME")
        return tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=tf.shape(inputs), filter=kernel, out_backprop=gradient, **attributes
        )
    # With other strides than 1, TensorFlow takes ten times as long in bfloat16.
    by_inputs = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
        input_sizes=tf.shape(inputs),
        filter=tf.cast(kernel, tf.float32),
        out_backprop=tf.cast(gradient, tf.float32),
        **attributes,
    )
    return tf.cast(by_inputs, inputs.dtype)


def _kernel_gradient_in_parts(operation: Any, gradient: Any) -> Any:
    """Returns the gradient of a 5 x 5 kernel, composed of those of its four 3 x 3 corners.

    The corners overlap in the middle row and column. An element of the gradient depends only on
    the inputs that it is multiplied with, so both corners have the same value there.
    """
    import tensorflow as tf

    inputs, kernel = operation.inputs
    strides = operation.get_attr("strides")
    height, width = gradient.shape[1:3]
    if operation.get_attr("padding") == b"SAME":
        paddings = [
            _same_padding(size, result, stride)
            for size, result, stride in zip(
                inputs.shape[1:3], (height, width), strides[1:3], strict=True
            )
        ]
        inputs = tf.pad(inputs, [[0, 0], *paddings, [0, 0]])
    rows = (height - 1) * strides[1] + _FAST_KERNEL
    columns = (width - 1) * strides[2] + _FAST_KERNEL

    def corner(top: int, left: int) -> Any:
        return tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=inputs[:, top : top + rows, left : left + columns],
            filter_sizes=[_FAST_KERNEL, _FAST_KERNEL, kernel.shape[2], 1],
            out_backprop=gradient,
            strides=strides,
            padding="VALID",
        )

    offset = _SLOW_KERNEL - _FAST_KERNEL
    upper, lower = (
        tf.concat([corner(top, 0), corner(top, offset)[:, 1:]], 1) for top in (0, offset)
    )
    return tf.concat([upper, lower[1:]], 0)


def _same_padding(size: int, result: int, stride: int) -> tuple[int, int]:
    """Returns the padding before and after an axis, as TensorFlow's padding SAME defines it."""
    total = max((result - 1) * stride + _SLOW_KERNEL - size, 0)
    return total // 2, total - total // 2


def _bias_gradients(operation: Any, gradient: Any) -> tuple[Any, Any]:
    """Returns the gradients of the input and of the bias.

    In bfloat16, a product with a vector of ones is faster than TensorFlow's own kernel.
    """
    import tensorflow as tf

    if gradient.dtype != tf.bfloat16 or operation.get_attr("data_format") != b"NHWC":
        data_format = operation.get_attr("data_format")
        return gradient, tf.raw_ops.BiasAddGrad(out_backprop=gradient, data_format=data_format)
    flat = tf.reshape(gradient, (-1, gradient.shape[-1]))
    return gradient, tf.matmul(tf.ones((1, tf.shape(flat)[0]), gradient.dtype), flat)[0]

"""The arithmetic that both formats of Core ML have in common, in TensorFlow's operations.

All tensors are float32, images [N, channels, height, width] as Core ML holds them.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class UnknownOperationError(Exception):
    """The file has an operation that the reference does not know; the message names it."""


class Window(NamedTuple):
    """How a convolution or a pooling walks over an image; rows first, then columns.

    Attributes:
        size: of the window, in pixels.
        strides: from one window to the next.
        dilations: from one pixel in a window to the next.
        padding: added around the image: (before, after), of rows and of columns.
    """

    size: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]


def window(
    shape: Sequence[int],
    size: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[int] | str,
) -> Window:
    """Returns the window over images of a shape.

    Args:
        shape: [N, channels, height, width].
        size: of the window.
        strides: from one window to the next.
        dilations: from one pixel in a window to the next.
        padding: before and after rows, before and after columns; or "valid" (none), "same" (so
            that the result has a pixel for each step, the odd one behind) or "same_lower" (the odd
            one in front).
    """
    if padding == "valid":
        padding = (0, 0, 0, 0)
    if isinstance(padding, str):
        lower = padding == "same_lower"
        each = [
            _same(*numbers, lower)
            for numbers in zip(shape[2:], size, strides, dilations, strict=True)
        ]
    else:
        each = [(int(padding[0]), int(padding[1])), (int(padding[2]), int(padding[3]))]
    return Window(_pair(size), _pair(strides), _pair(dilations), (each[0], each[1]))


def _same(length: int, size: int, stride: int, dilation: int, lower: bool) -> tuple[int, int]:
    covered = (math.ceil(length / stride) - 1) * stride + (size - 1) * dilation + 1
    missing = max(int(covered) - length, 0)
    small, large = missing // 2, missing - missing // 2
    return (large, small) if lower else (small, large)


def _pair(numbers: Sequence[int]) -> tuple[int, int]:
    rows, columns = (int(number) for number in numbers)
    return rows, columns


def convolve(
    x: Any, weights: np.ndarray, bias: np.ndarray | None, over: Window, groups: int
) -> Any:
    """Returns the convolution of images, [N, out, h, w].

    Args:
        x: [N, in, height, width].
        weights: [out, in / groups, rows, columns].
        bias: [out], or None.
        over: the window.
        groups: 1, or as many as there are channels.

    Raises:
        UnknownOperationError: there is another number of groups.
    """
    import tensorflow as tf

    channels = x.shape[1]
    x = _channels_last(_padded(x, over, 0.0))
    strides = [1, *over.strides, 1]
    if groups == 1:
        filters = weights.transpose(2, 3, 1, 0)
        result = tf.nn.conv2d(x, filters, strides, "VALID", dilations=over.dilations)
    elif groups == channels:
        rows, columns = weights.shape[2:]
        filters = weights.transpose(2, 3, 0, 1).reshape(rows, columns, channels, -1)
        result = tf.nn.depthwise_conv2d(x, filters, strides, "VALID", dilations=over.dilations)
    else:
        raise UnknownOperationError(f"a convolution of {channels} channels in {groups} groups")
    return _channels_first(result if bias is None else result + bias)


def max_pool(x: Any, over: Window) -> Any:
    """Returns the largest value in each window, [N, channels, h, w]."""
    import tensorflow as tf

    x = _channels_last(_padded(x, over, -np.inf))
    return _channels_first(tf.nn.max_pool2d(x, over.size, over.strides, "VALID"))


def average_pool(x: Any, over: Window, exclude_padding: bool) -> Any:
    """Returns the mean of each window, [N, channels, h, w].

    Args:
        x: [N, channels, height, width].
        over: the window.
        exclude_padding: whether pixels that were added around the image do not count.
    """
    import tensorflow as tf

    def means(image: Any) -> Any:
        padded = _channels_last(_padded(image, over, 0.0))
        return _channels_first(tf.nn.avg_pool2d(padded, over.size, over.strides, "VALID"))

    # The mean of ones is the share of each window that lies in the image.
    return means(x) / means(tf.ones_like(x)) if exclude_padding else means(x)


def normalise(
    x: Any,
    mean: np.ndarray,
    variance: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    epsilon: float,
) -> Any:
    """Returns what batch normalisation makes of images.

    Args:
        x: [N, channels, height, width].
        mean: that each channel had in training; all arrays are [channels].
        variance: that it had.
        gamma: what the result is multiplied with; 1 where None.
        beta: what is added then; 0 where None.
        epsilon: added to the variance.
    """
    scale = (1 if gamma is None else gamma) / np.sqrt(variance + epsilon)
    offset = (0 if beta is None else beta) - mean * scale
    return x * scale.reshape(-1, 1, 1) + offset.reshape(-1, 1, 1)


def part(
    x: Any,
    begin: Sequence[int],
    end: Sequence[int],
    stride: Sequence[int] | None,
    begin_mask: Sequence[bool] | None,
    end_mask: Sequence[bool] | None,
    squeeze_mask: Sequence[bool] | None,
) -> Any:
    """Returns a part of an array.

    Args:
        x: of any shape; all other arguments have an entry for each of its axes.
        begin: the first position.
        end: the position behind the last.
        stride: from one position to the next; 1 where None.
        begin_mask: where the part begins with the axis, whatever `begin` says.
        end_mask: where it ends with the axis.
        squeeze_mask: where it is only what is at `begin`, and the axis is left out.
    """
    rank = len(x.shape)
    no = [False] * rank
    masks = [no if mask is None else mask for mask in (begin_mask, end_mask, squeeze_mask)]
    steps = [1] * rank if stride is None else stride
    return x[
        tuple(
            int(b)
            if squeezed
            else slice(None if first else int(b), None if last else int(e), int(s))
            for b, e, s, first, last, squeezed in zip(begin, end, steps, *masks, strict=True)
        )
    ]


def _padded(x: Any, over: Window, value: float) -> Any:
    import tensorflow as tf

    if not np.any(over.padding):
        return x
    return tf.pad(x, [(0, 0), (0, 0), *over.padding], constant_values=value)


def _channels_last(x: Any) -> Any:
    import tensorflow as tf

    return tf.transpose(x, (0, 2, 3, 1))


def _channels_first(x: Any) -> Any:
    import tensorflow as tf

    return tf.transpose(x, (0, 3, 1, 2))

"""The arithmetic that both formats of Core ML have in common, in TensorFlow operations.

All tensors are float32. Images are [N, channels, height, width], as in Core ML.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from retrain.export.coreml_reference.errors import UnsupportedOperationError


class Window(NamedTuple):
    """The geometry of a convolution or pooling. Each pair is for rows and for columns.

    Attributes:
        size: Size of the window in pixels.
        strides: Distance between two windows in pixels.
        dilations: Distance between two pixels of a window.
        padding: Number of pixels to add (before, after) the image.
    """

    size: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]


def make_window(
    shape: Sequence[int],
    size: Sequence[int],
    *,
    strides: Sequence[int],
    dilations: Sequence[int] = (1, 1),
    padding: Sequence[int] | str,
) -> Window:
    """Returns the window for images of a given shape.

    Args:
        shape: Shape of the images, [N, channels, height, width].
        size: Size of the window.
        strides: Distance between two windows.
        dilations: Distance between two pixels of a window.
        padding: Number of pixels to add before and after the rows, and before and after the
            columns; or "valid" for none, "same" for one window per stride with an odd pixel after
            the image, or "same_lower" with an odd pixel before the image.
    """
    if padding == "valid":
        padding = (0, 0, 0, 0)
    if isinstance(padding, str):
        pairs = [
            _same_padding(*numbers, lower=padding == "same_lower")
            for numbers in zip(shape[2:], size, strides, dilations, strict=True)
        ]
    else:
        pairs = [(int(padding[0]), int(padding[1])), (int(padding[2]), int(padding[3]))]
    return Window(_pair(size), _pair(strides), _pair(dilations), (pairs[0], pairs[1]))


def _same_padding(
    length: int, size: int, stride: int, dilation: int, *, lower: bool
) -> tuple[int, int]:
    covered = (math.ceil(length / stride) - 1) * stride + (size - 1) * dilation + 1
    missing = max(int(covered) - length, 0)
    smaller, larger = missing // 2, missing - missing // 2
    return (larger, smaller) if lower else (smaller, larger)


def _pair(numbers: Sequence[int]) -> tuple[int, int]:
    rows, columns = (int(number) for number in numbers)
    return rows, columns


def convolve(
    x: Any, weights: np.ndarray, *, bias: np.ndarray | None, window: Window, groups: int
) -> Any:
    """Returns the convolution of images, [N, out, h, w].

    Args:
        x: Images, [N, in, height, width].
        weights: Weights, [out, in / groups, rows, columns].
        bias: Bias, [out], or None.
        window: Geometry of the convolution.
        groups: 1, or the number of channels.

    Raises:
        UnsupportedOperationError: If the number of groups is neither.
    """
    import tensorflow as tf

    channels = x.shape[1]
    x = _channels_last(_pad(x, window, 0.0))
    strides = [1, *window.strides, 1]
    if groups == 1:
        filters = weights.transpose(2, 3, 1, 0)
        result = tf.nn.conv2d(x, filters, strides, "VALID", dilations=window.dilations)
    elif groups == channels:
        rows, columns = weights.shape[2:]
        filters = weights.transpose(2, 3, 0, 1).reshape(rows, columns, channels, -1)
        result = tf.nn.depthwise_conv2d(x, filters, strides, "VALID", dilations=window.dilations)
    else:
        raise UnsupportedOperationError(f"a convolution of {channels} channels in {groups} groups")
    return _channels_first(result if bias is None else result + bias)


def max_pool(x: Any, window: Window) -> Any:
    """Returns the maximum of each window, [N, channels, h, w]."""
    import tensorflow as tf

    x = _channels_last(_pad(x, window, -np.inf))
    return _channels_first(tf.nn.max_pool2d(x, window.size, window.strides, "VALID"))


def average_pool(x: Any, window: Window, *, exclude_padding: bool) -> Any:
    """Returns the mean of each window, [N, channels, h, w].

    Args:
        x: Images, [N, channels, height, width].
        window: Geometry of the pooling.
        exclude_padding: Whether the mean is over pixels of the image only.
    """
    import tensorflow as tf

    def means(images: Any) -> Any:
        padded = _channels_last(_pad(images, window, 0.0))
        return _channels_first(tf.nn.avg_pool2d(padded, window.size, window.strides, "VALID"))

    # The mean of ones is the fraction of the window that lies in the image.
    return means(x) / means(tf.ones_like(x)) if exclude_padding else means(x)


def batch_normalise(
    x: Any,
    *,
    mean: np.ndarray,
    variance: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    epsilon: float,
) -> Any:
    """Returns images after batch normalisation.

    Args:
        x: Images, [N, channels, height, width].
        mean: Mean of each channel, [channels].
        variance: Variance of each channel, [channels].
        gamma: Factor for each channel, [channels]; 1 if None.
        beta: Offset for each channel, [channels]; 0 if None.
        epsilon: Number to add to the variance.
    """
    scale = (1 if gamma is None else gamma) / np.sqrt(variance + epsilon)
    offset = (0 if beta is None else beta) - mean * scale
    return x * scale.reshape(-1, 1, 1) + offset.reshape(-1, 1, 1)


def slice_array(
    x: Any,
    begin: Sequence[int],
    end: Sequence[int],
    *,
    stride: Sequence[int] | None = None,
    begin_mask: Sequence[bool] | None = None,
    end_mask: Sequence[bool] | None = None,
    squeeze_mask: Sequence[bool] | None = None,
) -> Any:
    """Returns a slice of an array. Each argument has one entry per axis.

    Args:
        x: Array of any shape.
        begin: First index to select.
        end: Index after the last one to select.
        stride: Distance between two indices; 1 if None.
        begin_mask: Whether to start at the first index of the axis instead of `begin`.
        end_mask: Whether to stop after the last index of the axis instead of `end`.
        squeeze_mask: Whether to select only the index `begin` and remove the axis.
    """
    rank = len(x.shape)
    no = [False] * rank
    masks = [no if mask is None else mask for mask in (begin_mask, end_mask, squeeze_mask)]
    strides = [1] * rank if stride is None else stride
    return x[
        tuple(
            int(first)
            if squeeze
            else slice(None if from_start else int(first), None if to_end else int(stop), int(step))
            for first, stop, step, from_start, to_end, squeeze in zip(
                begin, end, strides, *masks, strict=True
            )
        )
    ]


def _pad(x: Any, window: Window, value: float) -> Any:
    import tensorflow as tf

    if not np.any(window.padding):
        return x
    return tf.pad(x, [(0, 0), (0, 0), *window.padding], constant_values=value)


def _channels_last(x: Any) -> Any:
    import tensorflow as tf

    return tf.transpose(x, (0, 2, 3, 1))


def _channels_first(x: Any) -> Any:
    import tensorflow as tf

    return tf.transpose(x, (0, 3, 1, 2))

"""Prepends normalisation and channel order to a TFLite model, so that it accepts plain images."""

from collections.abc import Sequence

import numpy as np

from retrain.export.tflite_editor import EditableModel, NewTensor, Quantisation

_INT8_MAX = 127

# A value of the schema's Padding.
_VALID = 1


def accept_uint8(
    model: EditableModel, mean: Sequence[float], std: Sequence[float], *, bgr: bool
) -> None:
    """Changes the input to RGB images, uint8 [1, height, width, 3].

    Args:
        model: Model of normalised pixels, float32 or int8 [1, height, width, 3].
        mean: Mean to subtract from each of the model's channels, in units of 0 to 255.
        std: Standard deviation to divide each channel by after that, in units of 0 to 255.
        bgr: Whether the model's channels are in the order BGR.
    """
    pixels = model.input
    # One row for each channel of the model, one column for each channel of the image.
    weights = np.diag(1 / np.asarray(std, np.float64))
    weights = weights[:, ::-1] if bgr else weights
    bias = -np.asarray(mean, np.float64) / np.asarray(std, np.float64)
    image = NewTensor("pixels", "uint8", pixels.shape, Quantisation(1.0))
    if pixels.quantisation is None:
        _prepend_float_convolution(model, weights, bias)
        model.prepend("DEQUANTIZE", image)
    else:
        _prepend_int8_convolution(model, weights, bias)
        model.prepend("QUANTIZE", image)


def accept_common_normalisation(
    model: EditableModel,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    common_mean: float,
    common_std: float,
    bgr: bool,
) -> None:
    """Changes the input of a float32 model to RGB images with one normalisation for all channels.

    Args:
        model: Model of normalised pixels, float32 [1, height, width, 3].
        mean: Mean to subtract from each of the model's channels, in units of 0 to 255.
        std: Standard deviation to divide each channel by after that, in units of 0 to 255.
        common_mean: Mean that is subtracted from all channels of the new input.
        common_std: Standard deviation that all channels are divided by after that.
        bgr: Whether the model's channels are in the order BGR.
    """
    means, stds = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    # pixel = value * common_std + common_mean, and the model needs (pixel - mean) / std.
    weights = np.diag(common_std / stds)
    bias = (common_mean - means) / stds
    _prepend_float_convolution(model, weights[:, ::-1] if bgr else weights, bias)


def _prepend_float_convolution(model: EditableModel, weights: np.ndarray, bias: np.ndarray) -> None:
    """Prepends a float32 convolution of single pixels with weights [out, in] and a bias [out]."""
    constants = [
        model.add_constant("mixing", _kernel(weights).astype(np.float32)),
        model.add_constant("offset", bias.astype(np.float32)),
    ]
    image = NewTensor("unmixed", "float32", model.input.shape)
    model.prepend("CONV_2D", image, constants=constants, padding=_VALID, strideW=1, strideH=1)


def _prepend_int8_convolution(model: EditableModel, weights: np.ndarray, bias: np.ndarray) -> None:
    """Prepends the same in int8, for images whose values are lower by 128."""
    kernel = _kernel(weights)
    scale = float(np.abs(kernel).max()) / _INT8_MAX
    integers, offsets = (np.rint(array / scale) for array in (kernel, bias))
    quantisation = Quantisation(scale)
    constants = [
        model.add_constant("mixing", integers.astype(np.int8), quantisation=quantisation),
        model.add_constant("offset", offsets.astype(np.int32), quantisation=quantisation),
    ]
    # With this zero point, the integers are lower by 128 and the values are those of the image.
    image = NewTensor("unmixed", "int8", model.input.shape, Quantisation(1.0, -128))
    model.prepend(
        "CONV_2D", image, constants=constants, version=3, padding=_VALID, strideW=1, strideH=1
    )


def _kernel(weights: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(weights.reshape(3, 1, 1, 3))

"""What stands before and behind a backbone in a TFLite file: the pixels' input, and the head."""

from collections.abc import Sequence

import numpy as np

from retrain.export.tflite_editor import Network, Scale, Tensor
from retrain.runtimes.head import Head

_INT8_MAX = 127
_INT16_MAX = 32767
# What the operator must have for 16 bits.
_SOFTMAX_SCALE = Scale(1 / 32768)

# Of the schema's Padding.
_VALID = 1


def append_head(network: Network, head: Head) -> None:
    """Makes probabilities of the features that a float32 network computes.

    Args:
        network: from pixels to features, float32 [1, feature_width].
        head: the classifier's last layer. The output becomes float32 [1, classes].
    """
    shape = (1, len(head.bias))
    weights = network.add_constant("weights", np.ascontiguousarray(head.weights.T))
    bias = network.add_constant("bias", head.bias)
    inputs = [network.output, weights, bias]
    logits = network.append("FULLY_CONNECTED", 1, inputs, ("logits", "float32", shape, None))
    network.append("SOFTMAX", 1, [logits], ("scores", "float32", shape, None), beta=1.0)


def append_integer_head(network: Network, head: Head, largest_logit: float | None = None) -> None:
    """Makes probabilities of the features that an int8 network computes, with integers alone.

    Eight bits are too few for the logits: their step would be as large as a difference between two
    labels that matters. They have sixteen, and so have the weights, as the sum of eight and of
    eight more for what the first ones leave.

    Args:
        network: from pixels to features, int8 [1, feature_width] of one scale.
        head: the classifier's last layer. The output becomes uint8 [1, classes], in 256ths.
        largest_logit: that may be expected, by amount; up to twice as large ones are told apart.
    """
    features = network.output
    assert features.scale is not None
    scale, zero_point = features.scale
    shape = (1, len(head.bias))
    weights, bias = head.weights.T.astype(np.float64), head.bias.astype(np.float64)
    largest = _largest_possible_logit(weights, bias, features.scale)
    if largest_logit is not None:
        largest = min(largest, 2 * largest_logit)
    logits_scale = Scale((largest or 1.0) / _INT16_MAX)
    # Quantised, they would have to be 0 where a feature is; old runtimes cannot do that.
    wide = network.append(
        "CAST", 3, [features], ("wide_features", "int16", features.shape, Scale(scale))
    )

    def layer(name: str, weights: np.ndarray, bias: np.ndarray) -> tuple[Tensor, np.ndarray]:
        step = float(np.abs(weights).max()) / _INT8_MAX or 1.0
        numbers = np.rint(weights / step).astype(np.int8)
        counts = np.rint(bias / (step * scale)).astype(np.int64)
        counts -= zero_point * numbers.sum(axis=1, dtype=np.int64)
        inputs = [
            wide,
            network.add_constant(f"{name}/weights", numbers, Scale(step)),
            network.add_constant(f"{name}/bias", counts, Scale(step * scale)),
        ]
        output = (f"{name}/logits", "int16", shape, logits_scale)
        return network.append("FULLY_CONNECTED", 7, inputs, output), weights - numbers * step

    coarse, rest = layer("coarse", weights, bias)
    fine, _ = layer("fine", rest, np.zeros_like(bias))
    logits = network.append(
        "ADD", 4, [coarse, fine], ("logits", "int16", shape, logits_scale), potScaleInt16=False
    )
    exact = ("exact_scores", "int16", shape, _SOFTMAX_SCALE)
    scores = network.append("SOFTMAX", 3, [logits], exact, beta=1.0)
    scores = _with_one_best(network, logits, scores)
    signed = ("signed_scores", "int8", shape, Scale(1 / 256, -128))
    scores = network.append("QUANTIZE", 2, [scores], signed)
    network.append("QUANTIZE", 1, [scores], ("scores", "uint8", shape, Scale(1 / 256)))


def _with_one_best(network: Network, logits: Tensor, scores: Tensor) -> Tensor:
    """Adds a 256th to the best score, so that no other is the same when both have eight bits."""
    assert logits.scale is not None
    best = ("best", "int16", scores.shape, _SOFTMAX_SCALE)
    # One step of the logits makes 55 times as likely, and more would exceed the operator's 32 bits.
    is_best = network.append("SOFTMAX", 3, [logits], best, beta=4 / logits.scale.scale)
    scale = Scale(1 / 256 / _INT16_MAX)
    step = network.add_constant("step", np.full((1, 1), _INT16_MAX, np.int16), scale)
    extra = network.append("MUL", 4, [is_best, step], ("extra", "int16", scores.shape, scale))
    result = ("distinct_scores", "int16", scores.shape, _SOFTMAX_SCALE)
    return network.append("ADD", 4, [scores, extra], result, potScaleInt16=False)


def _largest_possible_logit(weights: np.ndarray, bias: np.ndarray, features: Scale) -> float:
    """Returns what no logit can exceed, as no feature exceeds what int8 can tell."""
    least = (-128 - features.zero_point) * features.scale
    most = (127 - features.zero_point) * features.scale
    ends = np.stack([weights * least, weights * most])
    highest, lowest = ends.max(0).sum(1) + bias, ends.min(0).sum(1) + bias
    return float(max(highest.max(), -lowest.min()))


def prepend_pixels(
    network: Network, mean: Sequence[float], std: Sequence[float], swap: bool
) -> None:
    """Lets a network take images as they are: uint8 [1, height, width, 3], RGB, 0 to 255.

    Args:
        network: that takes normalised pixels, float32 or int8 [1, height, width, 3].
        mean: of each of its channels, which is subtracted.
        std: of each of its channels, which is divided by then.
        swap: whether its channels are BGR.
    """
    pixels = network.input
    # One row for each channel of the network, one column for each of the image.
    mixing = np.diag(1 / np.asarray(std, np.float64))
    mixing = mixing[:, ::-1] if swap else mixing
    bias = -np.asarray(mean, np.float64) / np.asarray(std, np.float64)
    if pixels.scale is None:
        _convolve(network, "float32", mixing, bias, None)
        network.prepend("DEQUANTIZE", 1, ("pixels", "uint8", pixels.shape, Scale(1.0, 0)))
        return
    # The input is 128 lower than the image, which the bias makes good.
    _convolve(network, "int8", mixing, bias, Scale(1.0, -128))
    network.prepend("QUANTIZE", 1, ("pixels", "uint8", pixels.shape, Scale(1.0, 0)))


def swap_channels(network: Network) -> None:
    """Lets a float32 network that takes BGR take RGB."""
    _convolve(network, "float32", np.eye(3)[::-1], np.zeros(3), None)


def _convolve(
    network: Network, dtype: str, mixing: np.ndarray, bias: np.ndarray, scale: Scale | None
) -> None:
    shape = network.input.shape
    kernel = np.ascontiguousarray(mixing.reshape(3, 1, 1, 3))
    if scale is None:
        constants = [
            network.add_constant("mixing", kernel.astype(np.float32)),
            network.add_constant("offset", bias.astype(np.float32)),
        ]
    else:
        step = float(np.abs(kernel).max()) / _INT8_MAX
        constants = [
            network.add_constant("mixing", np.rint(kernel / step).astype(np.int8), Scale(step)),
            network.add_constant("offset", np.rint(bias / step).astype(np.int32), Scale(step)),
        ]
    network.prepend(
        "CONV_2D",
        1 if scale is None else 3,
        ("unmixed", dtype, shape, scale),
        constants,
        padding=_VALID,
        strideW=1,
        strideH=1,
    )

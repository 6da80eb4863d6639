"""Appends the classifier's head to a backbone in a TFLite file."""

import numpy as np

from retrain.export.tflite_editor import EditableModel, NewTensor, Quantisation, TensorRef
from retrain.metadata import TFLITE_FEATURES
from retrain.runtimes.head import Head

_INT8_MAX = 127
_INT16_MAX = 32767
# The only scale that SOFTMAX supports for int16 outputs.
_SOFTMAX_SCALE = 1 / 32768


def append_float_head(model: EditableModel, head: Head) -> None:
    """Appends a dense layer and a softmax in float32.

    Args:
        model: Model from pixels to features, float32 [1, feature_width]. Its output becomes
            probabilities, float32 [1, classes].
        head: Head of the classifier.
    """
    model.name_output(TFLITE_FEATURES)
    shape = (1, len(head.bias))
    weights = model.add_constant("weights", np.ascontiguousarray(head.weights.T))
    bias = model.add_constant("bias", head.bias)
    inputs = [model.output, weights, bias]
    logits = model.append("FULLY_CONNECTED", inputs, NewTensor("logits", "float32", shape))
    model.append("SOFTMAX", [logits], NewTensor("scores", "float32", shape), beta=1.0)


def append_integer_head(
    model: EditableModel, head: Head, *, largest_logit: float | None = None
) -> None:
    """Appends a dense layer and a softmax that use integer arithmetic only.

    int8 is too coarse for logits: one step would be as large as a difference that decides between
    two classes. So the logits are int16. The weights have 16 bits as well, as the sum of two int8
    layers: the second one holds the rounding errors of the first.

    Args:
        model: Model from pixels to features, int8 [1, feature_width], quantised as a whole. Its
            output becomes probabilities, uint8 [1, classes], in units of 1/256.
        head: Head of the classifier.
        largest_logit: Largest absolute logit to expect. Logits are clipped at twice this value. By
            default, the range covers all logits that are possible.
    """
    model.name_output(TFLITE_FEATURES)
    features = model.output
    assert features.quantisation is not None
    scale, zero_point = features.quantisation
    shape = (1, len(head.bias))
    weights, bias = head.weights.T.astype(np.float64), head.bias.astype(np.float64)
    largest = _largest_possible_logit(weights, bias, features.quantisation)
    if largest_logit is not None:
        largest = min(largest, 2 * largest_logit)
    logits_quantisation = Quantisation((largest or 1.0) / _INT16_MAX)
    # QUANTIZE would have to remove the zero point, which int16 does not allow, and runtimes before
    # 2.4 cannot quantise int8 to int16. CAST keeps the integers; the bias cancels the zero point.
    wide_tensor = NewTensor("wide_features", "int16", features.shape, Quantisation(scale))
    wide = model.append("CAST", [features], wide_tensor, version=3)

    def add_layer(name: str, weights: np.ndarray, bias: np.ndarray) -> tuple[TensorRef, np.ndarray]:
        """Adds an int8 dense layer. Returns its logits and the rounding errors of its weights."""
        step = float(np.abs(weights).max()) / _INT8_MAX or 1.0
        integers = np.rint(weights / step).astype(np.int8)
        offsets = np.rint(bias / (step * scale)).astype(np.int64)
        offsets -= zero_point * integers.sum(axis=1, dtype=np.int64)
        inputs = [
            wide,
            model.add_constant(f"{name}/weights", integers, quantisation=Quantisation(step)),
            model.add_constant(f"{name}/bias", offsets, quantisation=Quantisation(step * scale)),
        ]
        output = NewTensor(f"{name}/logits", "int16", shape, logits_quantisation)
        logits = model.append("FULLY_CONNECTED", inputs, output, version=7)
        return logits, weights - integers * step

    coarse, errors = add_layer("coarse", weights, bias)
    fine, _ = add_layer("fine", errors, np.zeros_like(bias))
    sum_tensor = NewTensor("logits", "int16", shape, logits_quantisation)
    logits = model.append("ADD", [coarse, fine], sum_tensor, version=4, potScaleInt16=False)
    exact = NewTensor("exact_scores", "int16", shape, Quantisation(_SOFTMAX_SCALE))
    scores = model.append("SOFTMAX", [logits], exact, version=3, beta=1.0)
    scores = _raise_best_score(model, logits, scores)
    signed = NewTensor("signed_scores", "int8", shape, Quantisation(1 / 256, -128))
    scores = model.append("QUANTIZE", [scores], signed, version=2)
    model.append("QUANTIZE", [scores], NewTensor("scores", "uint8", shape, Quantisation(1 / 256)))


def _raise_best_score(model: EditableModel, logits: TensorRef, scores: TensorRef) -> TensorRef:
    """Adds 1/256 to the best score, so that it stays the only best one after rounding to uint8.

    Scores that round to the same integer would tie, and the first of their labels would be the
    answer. Among a hundred similar classes that is the wrong label for every second image.
    """
    assert logits.quantisation is not None
    softmax_tensor = NewTensor("best", "int16", scores.shape, Quantisation(_SOFTMAX_SCALE))
    # With this beta, one step of the logits makes a class 55 times as likely as the next one. The
    # operator's 32-bit arithmetic does not support a larger beta.
    beta = 4 / logits.quantisation.scale
    is_best = model.append("SOFTMAX", [logits], softmax_tensor, version=3, beta=beta)
    quantisation = Quantisation(1 / 256 / _INT16_MAX)
    step = model.add_constant(
        "step", np.full((1, 1), _INT16_MAX, np.int16), quantisation=quantisation
    )
    extra_tensor = NewTensor("extra", "int16", scores.shape, quantisation)
    extra = model.append("MUL", [is_best, step], extra_tensor, version=4)
    result = NewTensor("distinct_scores", "int16", scores.shape, Quantisation(_SOFTMAX_SCALE))
    return model.append("ADD", [scores, extra], result, version=4, potScaleInt16=False)


def _largest_possible_logit(weights: np.ndarray, bias: np.ndarray, features: Quantisation) -> float:
    """Returns an upper bound of the absolute logits for features in the range of int8."""
    lowest = (-128 - features.zero_point) * features.scale
    highest = (127 - features.zero_point) * features.scale
    products = np.stack([weights * lowest, weights * highest])
    most, least = products.max(0).sum(1) + bias, products.min(0).sum(1) + bias
    return float(max(most.max(), -least.min()))

"""Builds EfficientNet-Lite networks as Keras models from the published weights.

Tan and Le describe EfficientNet (2019, https://arxiv.org/abs/1905.11946). The Lite variants suit
mobile processors: they have no squeeze-and-excitation, use ReLU6, and do not scale stem and head.
See https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from retrain.backbones.efficientnet_lite_variants import (
    BOTTLENECK_WIDTH,
    CLASSES,
    FEATURE_STAGES,
    Stage,
    Variant,
)
from retrain.metadata import GRAPH_FEATURES

_STEM_WIDTH = 32
_BATCH_NORM_EPSILON = 1e-3
# The outputs of the feature stages vary about eight times as much as those of the last layer. In
# int8, all features have the same step.
_STAGE_SCALE = 1 / 8


class WrongWeightsError(Exception):
    """The tensors are not the weights of the network. The message says why."""


class _Block(NamedTuple):
    name: str
    stage: int
    kernel: int
    stride: int
    input_width: int
    hidden_width: int
    output_width: int


def _blocks(stages: Sequence[Stage]) -> Iterator[_Block]:
    width = _STEM_WIDTH
    number = 0
    for index, stage in enumerate(stages):
        for repeat in range(stage.repeats):
            yield _Block(
                name=f"_blocks.{number}",
                stage=index,
                kernel=stage.kernel,
                stride=stage.stride if repeat == 0 else 1,
                input_width=width,
                hidden_width=width * stage.expansion,
                output_width=stage.width,
            )
            width = stage.width
            number += 1


class _Weights:
    """Checks the tensors and converts them to the layout of TensorFlow. Each is used once."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self._unused = {
            name: tensor
            for name, tensor in tensors.items()
            if not name.endswith(".num_batches_tracked")
        }

    def take(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Returns a tensor and marks it as used.

        Raises:
            WrongWeightsError: If it is missing, has another shape or type, or is not finite.
        """
        tensor = self._unused.pop(name, None)
        if tensor is None:
            raise WrongWeightsError(f"the weights lack {name}")
        if tensor.shape != shape or tensor.dtype != np.float32:
            raise WrongWeightsError(
                f"{name} is {tensor.dtype} {tensor.shape}; expected float32 {shape}"
            )
        if not np.isfinite(tensor).all():
            raise WrongWeightsError(f"{name} has values that are not finite")
        return tensor

    def convolution(
        self, convolution: str, batch_norm: str, shape: tuple[int, int, int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the kernel and the bias of a convolution after folding its batch normalisation.

        Args:
            convolution: Name of the kernel, without `.weight`.
            batch_norm: Name of the batch normalisation that follows the convolution.
            shape: Shape of the kernel in the file, [outputs, inputs, height, width].

        Returns:
            A float32 kernel [height, width, inputs, outputs] and a float32 bias [outputs]. The
            kernel of a depthwise convolution, which has one input, is [height, width, outputs, 1].
        """
        kernel = self.take(f"{convolution}.weight", shape).astype(np.float64)
        outputs = shape[:1]
        gamma = self.take(f"{batch_norm}.weight", outputs)
        beta = self.take(f"{batch_norm}.bias", outputs)
        mean = self.take(f"{batch_norm}.running_mean", outputs)
        variance = self.take(f"{batch_norm}.running_var", outputs)
        scale = gamma / np.sqrt(variance.astype(np.float64) + _BATCH_NORM_EPSILON)
        kernel *= scale[:, None, None, None]
        axes = (2, 3, 0, 1) if shape[1] == 1 else (2, 3, 1, 0)
        folded = kernel.transpose(axes).astype(np.float32)
        return folded, (beta - mean * scale).astype(np.float32)

    def check_all_used(self) -> None:
        """Raises WrongWeightsError if there are tensors that no layer has used."""
        if self._unused:
            raise WrongWeightsError(f"no layer uses {', '.join(sorted(self._unused))}")


def build(
    variant: Variant, tensors: Mapping[str, np.ndarray], *, image_size: int | None = None
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Returns the network up to its features, and the classifier for ImageNet after the bottleneck.

    The features are the outputs of the last layer, which are the bottleneck, and those of earlier
    stages, averaged over the image. Batch normalisation is folded into the convolutions, which
    makes the network a third faster. Apart from rounding, the outputs stay the same.

    Args:
        variant: Network to build.
        tensors: float32 arrays by their names in the published file.
        image_size: Height and width of the input images in pixels; None for those of the images
            that the network was trained on.

    Returns:
        A Keras model from normalised RGB images [N, size, size, 3] to features
        [N, variant.feature_width], and the weights [1280, 1000] and the bias [1000] of the
        classifier, all float32.

    Raises:
        WrongWeightsError: If a tensor is missing or superfluous, has another shape or type, or is
            not finite.
    """
    from tensorflow import keras

    weights = _Weights(tensors)
    stages = variant.stages
    size = image_size or variant.image_size
    pixels = keras.Input((size, size, 3), name="pixels")
    stem = weights.convolution("_conv_stem", "_bn0", (_STEM_WIDTH, 3, 3, 3))
    x = _convolve(pixels, *stem, stride=2)
    stage_outputs = {}
    for block in _blocks(stages):
        stage_outputs[block.stage] = x = _mobile_block(x, block, weights)
    last_width = stages[-1].width
    x = _convolve(
        x, *weights.convolution("_conv_head", "_bn1", (BOTTLENECK_WIDTH, last_width, 1, 1))
    )
    bottleneck = keras.layers.GlobalAveragePooling2D(name="features")(x)
    features = keras.layers.Concatenate(name=GRAPH_FEATURES)(
        [bottleneck, *(_pool_stage(stage_outputs[index], index) for index in FEATURE_STAGES)]
    )
    classifier = weights.take("_fc.weight", (CLASSES, BOTTLENECK_WIDTH)).T
    bias = weights.take("_fc.bias", (CLASSES,))
    weights.check_all_used()
    return keras.Model(pixels, features, name=variant.name), classifier, bias


def _pool_stage(x: Any, index: int) -> Any:
    from tensorflow import keras

    pooled = keras.layers.GlobalAveragePooling2D(name=f"stage_{index}")(x)
    return keras.layers.Rescaling(_STAGE_SCALE, name=f"scaled_stage_{index}")(pooled)


def _mobile_block(x: Any, block: _Block, weights: _Weights) -> Any:
    """Appends an inverted residual block (Sandler et al., https://arxiv.org/abs/1801.04381)."""
    shortcut = x
    name, hidden = block.name, block.hidden_width
    if hidden != block.input_width:
        shape = (hidden, block.input_width, 1, 1)
        x = _convolve(x, *weights.convolution(f"{name}._expand_conv", f"{name}._bn0", shape))
    shape = (hidden, 1, block.kernel, block.kernel)
    depthwise = weights.convolution(f"{name}._depthwise_conv", f"{name}._bn1", shape)
    x = _convolve_depthwise(x, *depthwise, stride=block.stride)
    shape = (block.output_width, hidden, 1, 1)
    projection = weights.convolution(f"{name}._project_conv", f"{name}._bn2", shape)
    x = _convolve(x, *projection, activation=None)
    if block.stride == 1 and block.input_width == block.output_width:
        from tensorflow import keras

        x = keras.layers.Add()([x, shortcut])
    return x


def _convolve(
    x: Any,
    kernel: np.ndarray,
    bias: np.ndarray,
    *,
    stride: int = 1,
    activation: str | None = "relu6",
) -> Any:
    from tensorflow import keras

    layer = keras.layers.Conv2D(
        kernel.shape[3], kernel.shape[:2], stride, padding="same", activation=activation
    )
    return _call_with_weights(layer, x, kernel, bias)


def _convolve_depthwise(x: Any, kernel: np.ndarray, bias: np.ndarray, *, stride: int) -> Any:
    from tensorflow import keras

    layer = keras.layers.DepthwiseConv2D(
        kernel.shape[:2], stride, padding="same", activation="relu6"
    )
    return _call_with_weights(layer, x, kernel, bias)


def _call_with_weights(layer: Any, x: Any, kernel: np.ndarray, bias: np.ndarray) -> Any:
    result = layer(x)
    layer.set_weights([kernel, bias])
    return result

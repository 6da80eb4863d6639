"""A classifier as a TFLite file, for phones and small computers.

The backbone's own TFLite file gets the head behind it and, where wanted, an input for images as
they are before it. So it computes what the features were computed with that the head learned from,
and TensorFlow's converter is not needed.
"""

import dataclasses
from pathlib import Path

import numpy as np

from retrain.config import TFLiteOptions
from retrain.data.pixels import normalise
from retrain.errors import UserError
from retrain.export import tflite_ends, tflite_metadata
from retrain.export.answers import Answers
from retrain.export.assemble import Classifier
from retrain.export.tflite_editor import Network
from retrain.metadata import Metadata
from retrain.runtimes.litert import LiteRTModel
from retrain.system.console import quiet_libraries

NONE = "none"
FLOAT16 = "float16"
DYNAMIC = "dynamic"
INT8 = "int8"
QUANTIZATIONS = (NONE, FLOAT16, DYNAMIC, INT8)

UINT8 = "uint8"
FLOAT32 = "float32"
INPUT_TYPES = (UINT8, FLOAT32)

# Smaller ones are of early layers, where eight bits cost most answers and save the least bytes.
_MIN_DYNAMIC_WEIGHTS = 20_000


def check(options: TFLiteOptions) -> None:
    """Raises UserError where there is no such kind of file."""
    if options.quantization not in QUANTIZATIONS:
        raise UserError(
            f"--tflite_quantization={options.quantization} is not known; "
            f"choose one of: {', '.join(QUANTIZATIONS)}"
        )
    if options.input_type not in INPUT_TYPES:
        raise UserError(
            f"--tflite_input={options.input_type} is not known; "
            f"choose one of: {', '.join(INPUT_TYPES)}"
        )
    if options == TFLiteOptions(INT8, FLOAT32):
        raise UserError(
            f"--tflite_input={FLOAT32} does not go with --tflite_quantization={INT8}, which has "
            f"nothing but integers; choose --tflite_input={UINT8}"
        )


def to_bytes(classifier: Classifier, options: TFLiteOptions) -> bytes:
    """Returns the TFLite file, for one image at a time.

    It gives `probabilities` [1, classes] of an `image` [1, height, width, 3]: float32, and for INT8
    uint8 in 256ths. With it are `labels.txt`, the metadata of TFLite and, as
    `retrain_metadata.json`, our own: in them, mean, std and channel order are those of `image`, so
    that pixels which are fed as they are have the mean 0 and the std 1.

    Args:
        classifier: what was trained; for INT8, one with an int8 network.
        options: which kind; see `check`.
    """
    metadata = classifier.metadata
    swap = metadata.channel_order == "BGR"
    if options.quantization == INT8:
        assert classifier.int8_network is not None
        network = Network(classifier.int8_network)
        tflite_ends.append_integer_head(network, classifier.head, classifier.largest_logit)
    else:
        backbone = classifier.backbone.read_tflite()
        network = Network(_with_small_weights(backbone, options.quantization))
        tflite_ends.append_head(network, classifier.head)
    takes_bytes = options.input_type == UINT8
    if takes_bytes:
        tflite_ends.prepend_pixels(network, metadata.mean, metadata.std, swap)
    elif swap:
        tflite_ends.swap_channels(network)
    return tflite_metadata.add(network, _of_input(metadata, takes_bytes))


def write(path: Path, classifier: Classifier, options: TFLiteOptions) -> None:
    """Writes the file of `to_bytes`, which has the same arguments."""
    path.write_bytes(to_bytes(classifier, options))


def load(path: Path) -> Answers:
    """Returns the classifier in a file that `write` wrote."""
    flatbuffer = path.read_bytes()
    model = LiteRTModel(flatbuffer)
    metadata = tflite_metadata.read(flatbuffer)

    def probabilities(image: np.ndarray) -> np.ndarray:
        if model.input.dtype == np.float32:
            image = normalise(image, metadata.mean, metadata.std)
        numbers = model.run(image[np.newaxis])
        if model.output.dtype == np.float32:
            return numbers
        return (numbers.astype(np.float32) - model.output.zero_point) * model.output.scale

    return Answers(lambda pixels: np.concatenate([probabilities(image) for image in pixels]))


def float_operators(flatbuffer: bytes) -> list[str]:
    """Returns the names of a network's operators that calculate with floating point, in order."""
    operators = Network(flatbuffer).operators()
    return [name for name, types in operators if any("FLOAT" in type_ for type_ in types)]


def _with_small_weights(flatbuffer: bytes, quantization: str) -> bytes:
    """Returns the network with the weights of its convolutions in sixteen or eight bits.

    Those of depthwise convolutions stay as they are, and so does the head, which is added later:
    they are few, and answers depend on them most.
    """
    if quantization == NONE:
        return flatbuffer
    with quiet_libraries():
        from ai_edge_quantizer import qtyping, quantizer
        from ai_edge_quantizer.algorithm_manager import AlgorithmName

    if quantization == FLOAT16:
        algorithm = AlgorithmName.FLOAT_CASTING
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        )
    else:
        algorithm = AlgorithmName.MIN_MAX_UNIFORM_QUANT
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=8, granularity=qtyping.QuantGranularity.CHANNELWISE
            ),
            compute_precision=qtyping.ComputePrecision.INTEGER,
            min_weight_elements=_MIN_DYNAMIC_WEIGHTS,
        )
    with quiet_libraries():
        work = quantizer.Quantizer(flatbuffer)
        work.update_quantization_recipe(
            regex=".*",
            operation_name=qtyping.TFLOperationName.CONV_2D,
            op_config=config,
            algorithm_key=algorithm,
        )
        return bytes(work.quantize().quantized_model)


def _of_input(metadata: Metadata, takes_bytes: bool) -> Metadata:
    """Returns the metadata of a network that takes RGB, and pixels as they are where so wanted."""
    mean, std = metadata.mean, metadata.std
    if metadata.channel_order == "BGR":
        mean, std = mean[::-1], std[::-1]
    if takes_bytes:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return dataclasses.replace(metadata, channel_order="RGB", mean=mean, std=std)

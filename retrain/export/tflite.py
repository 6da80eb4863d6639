"""Writes a classifier as a TFLite file, for phones and small computers.

The file is the backbone's own TFLite file with the head appended. So it computes exactly the
features that the head was trained on, and TensorFlow's converter is not needed.
"""

import dataclasses
from pathlib import Path

from retrain.errors import UserError
from retrain.export import tflite_head, tflite_input, tflite_metadata
from retrain.export.assemble import TrainedClassifier
from retrain.export.tflite_editor import EditableModel
from retrain.metadata import Metadata
from retrain.output_options import TFLiteOptions
from retrain.system.program.console import quiet_libraries

NONE = "none"
FLOAT16 = "float16"
DYNAMIC = "dynamic"
INT8 = "int8"
QUANTIZATIONS = (NONE, FLOAT16, DYNAMIC, INT8)

UINT8 = "uint8"
FLOAT32 = "float32"
INPUT_TYPES = (UINT8, FLOAT32)

# Layers with fewer weights stay in float32. They are the early layers, in which int8 weights cost
# the most accuracy and save the least space.
_MIN_DYNAMIC_WEIGHTS = 20_000


def check(options: TFLiteOptions) -> None:
    """Raises UserError if the options are unknown or exclude each other."""
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
    if options.quantization == INT8 and options.input_type == FLOAT32:
        raise UserError(
            f"--tflite_input={FLOAT32} does not go with --tflite_quantization={INT8}, which uses "
            f"integers only; choose --tflite_input={UINT8}"
        )


def to_bytes(classifier: TrainedClassifier, options: TFLiteOptions) -> bytes:
    """Returns the TFLite file, which classifies one image at a time.

    The input `image` is [1, height, width, 3], RGB: uint8 pixels, or normalised float32 pixels
    with one mean and std for all channels.
    The output `probabilities` is float32 [1, classes] or, for INT8, uint8 in units of 1/256.

    The file contains the labels, TFLite metadata and this program's metadata. In both metadata,
    mean, std and channel order are those of `image`, so that uint8 pixels have the mean 0 and the
    std 1.

    Args:
        classifier: Classifier to write. For INT8, it has an int8 network.
        options: Quantisation and input type.
    """
    metadata = classifier.metadata
    bgr = metadata.channel_order == "BGR"
    if options.quantization == INT8:
        assert classifier.int8_network is not None
        model = EditableModel(classifier.int8_network)
        tflite_head.append_integer_head(
            model, classifier.head, largest_logit=classifier.largest_logit
        )
    else:
        backbone = classifier.backbone.read_tflite()
        model = EditableModel(_quantise_weights(backbone, options.quantization))
        tflite_head.append_float_head(model, classifier.head)
    if options.input_type == UINT8:
        tflite_input.accept_uint8(model, metadata.mean, metadata.std, bgr=bgr)
    else:
        _accept_float32(model, metadata)
    return tflite_metadata.add(model, _input_metadata(metadata, options.input_type))


def write(path: Path, classifier: TrainedClassifier, options: TFLiteOptions) -> None:
    """Writes the file that `to_bytes` returns."""
    path.write_bytes(to_bytes(classifier, options))


def _quantise_weights(flatbuffer: bytes, quantization: str) -> bytes:
    """Returns the model with the weights of its convolutions in float16 or int8.

    The weights of depthwise convolutions stay in float32, as do those of the head, which is
    appended later: they are few, and the scores depend on them most.
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


def _accept_float32(model: EditableModel, metadata: Metadata) -> None:
    """Makes the float32 input an RGB image, normalised as `_input_metadata` states."""
    bgr = metadata.channel_order == "BGR"
    if bgr or not _is_common(metadata):
        mean, std = _float32_normalisation(metadata)
        tflite_input.accept_common_normalisation(
            *(model, metadata.mean, metadata.std), common_mean=mean, common_std=std, bgr=bgr
        )


def _float32_normalisation(metadata: Metadata) -> tuple[float, float]:
    """Returns the mean and the std of a float32 input, which are the same in all channels.

    MediaPipe refuses files with another normalisation for each channel. For networks that need one,
    the input is pixels from 0 to 1, and the file computes the rest.
    """
    return (metadata.mean[0], metadata.std[0]) if _is_common(metadata) else (0.0, 255.0)


def _is_common(metadata: Metadata) -> bool:
    return len(set(metadata.mean)) == len(set(metadata.std)) == 1


def _input_metadata(metadata: Metadata, input_type: str) -> Metadata:
    """Returns the metadata of a model whose input is RGB and has this type."""
    mean, std = (0.0, 1.0) if input_type == UINT8 else _float32_normalisation(metadata)
    return dataclasses.replace(metadata, channel_order="RGB", mean=(mean,) * 3, std=(std,) * 3)

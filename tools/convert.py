"""Converts a classifier to Core ML, TFLite, a SavedModel or the current Keras format.

    bazel run //tools:convert -- --graph=/tmp/output_graph.pb --coreml_file=blocks.mlmodel

The input is a frozen graph, the folder of a SavedModel, a .keras or .h5 file, or a model.json with
its weights. Files that retrain wrote contain everything that the conversion needs. For files of
other programs, --labels names the classes, and --input_mean and --input_std, or --image_scale and
--red_bias as in Caffe, describe the normalisation of the images. If a network has a single output
and two labels, the output is the probability of the second label, as in Keras.
"""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
import logging
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from retrain.errors import UserError
from retrain.export import coreml_options, saved_model
from retrain.flags import coreml_flags
from retrain.runtimes import fit_flag, tflite_file
from retrain.system.outputs.checks import check_writable
from retrain.system.outputs.staging import Staging
from retrain.system.outputs.temporary_folders import temporary_files_of_libraries
from retrain.system.outputs.unfinished import settle
from retrain.system.program import command_line, trust_flag
from retrain.system.program.console import quiet_native_libraries
from retrain.system.program.path_flags import graph_path, optional_path
from tools.conversion.preprocessing import PreprocessingOptions
from tools.conversion.source import FORMATS, GraphOptions, SourceClassifier

_QUANTIZATIONS = ("none", "float16", "dynamic")

_GRAPH = flags.DEFINE_string(
    "graph", "/tmp/output_graph.pb", f"File or folder of the classifier to convert: {FORMATS}."
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "File with the weights of a model.json, as save_weights writes it."
)
_LABELS = flags.DEFINE_string(
    "labels",
    None,
    "File with one label per line. Required only if the classifier does not contain its labels.",
)
_CLASS_LABELS = flags.DEFINE_list(
    "class_labels", [], "Labels, separated by commas, instead of a file with labels."
)
_INPUT_LAYER = flags.DEFINE_string(
    "input_layer", None, "Tensor that takes pixels. Required only if it does not have a usual name."
)
_OUTPUT_LAYER = flags.DEFINE_string(
    "output_layer", None, "Tensor with the scores. Required only if it does not have a usual name."
)
_INPUT_HEIGHT = flags.DEFINE_integer(
    "input_height",
    None,
    "Height of the input images in pixels. Required only if the graph does not state it.",
    lower_bound=1,
)
_INPUT_WIDTH = flags.DEFINE_integer(
    "input_width",
    None,
    "Width of the input images in pixels. Required only if the graph does not state it.",
    lower_bound=1,
)
_FIT = fit_flag.define()
_ADD_SOFTMAX = flags.DEFINE_boolean(
    "add_softmax", False, "Whether to turn the outputs into probabilities with a softmax."
)
_INPUT_MEAN = flags.DEFINE_list(
    "input_mean",
    None,
    "Mean to subtract from each pixel, 0 to 255: one number, or one number per channel.",
)
_INPUT_STD = flags.DEFINE_list(
    "input_std",
    None,
    "Standard deviation to divide each pixel by after subtracting --input_mean: one number, or one "
    "number per channel.",
)
_IMAGE_SCALE = flags.DEFINE_float(
    "image_scale",
    None,
    "Factor to multiply each pixel by, as in Caffe, instead of --input_mean and --input_std.",
)
_RED_BIAS = flags.DEFINE_float(
    "red_bias", None, "Number to add to the red channel after --image_scale; -123.68 for VGG16."
)
_GREEN_BIAS = flags.DEFINE_float(
    "green_bias",
    None,
    "Number to add to the green channel after --image_scale; -116.779 for VGG16.",
)
_BLUE_BIAS = flags.DEFINE_float(
    "blue_bias", None, "Number to add to the blue channel after --image_scale; -103.939 for VGG16."
)
_GRAY_BIAS = flags.DEFINE_float(
    "gray_bias", None, "Number to add to the only channel of grey images after --image_scale."
)
_IS_BGR = flags.DEFINE_boolean(
    "is_bgr",
    None,
    "Whether blue is the first channel, as in VGG16 and other networks from Caffe.",
)
_TFLITE_FILE = flags.DEFINE_string(
    "tflite_file", None, "File for the classifier as a TFLite model."
)
_TFLITE_QUANTIZATION = flags.DEFINE_string(
    "tflite_quantization",
    "none",
    f"Quantisation of the TFLite model: {', '.join(_QUANTIZATIONS)}. Only //retrain can write int8 "
    "models, since it has images to measure ranges on.",
)
_SAVED_MODEL_DIR = flags.DEFINE_string(
    "saved_model_dir", None, "Folder for the classifier as a SavedModel."
)
_KERAS_FILE = flags.DEFINE_string(
    "keras_file",
    None,
    "File for the classifier in the current Keras format, with a name that ends in .keras. Only "
    "Keras files can be converted to it.",
)
flags.adopt_module_key_flags(coreml_flags)
flags.adopt_module_key_flags(trust_flag)


def main(arguments: list[str]) -> None:
    """Converts the classifier to the formats that the flags name."""
    if arguments:
        raise UserError(
            f"arguments must be flags, but got {arguments[0]}; --graph=FILE names the classifier "
            "to convert"
        )
    _check_outputs()
    preprocessing_options = _preprocessing_options()
    path = graph_path(_GRAPH)
    settle(path)
    if not path.exists():
        raise UserError(f"--graph={path} does not exist; name the file or folder to convert")
    _check_format(path)
    # Errors are reported by exceptions, so the messages on standard error are not needed.
    with quiet_native_libraries(), temporary_files_of_libraries():
        _convert(path, preprocessing_options)


def _check_format(path: Path) -> None:
    if path.suffix in (coreml_options.ML_PROGRAM_SUFFIX, coreml_options.NEURAL_NETWORK_SUFFIX):
        raise UserError(
            f"--graph={path} is a Core ML model, which cannot be converted; give the file that it "
            f"was made from: {FORMATS}"
        )
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UserError(
            f"--graph={path} cannot be read: {error.strerror}; give {FORMATS}"
        ) from error
    if tflite_file.is_tflite(start):
        raise UserError(
            f"--graph={path} is a TFLite file, which cannot be converted; give the file that it "
            f"was made from: {FORMATS}"
        )


def _convert(path: Path, preprocessing_options: PreprocessingOptions) -> None:
    # These modules take seconds to load, so flags are checked first.
    from retrain.export.coremltools_import import load_coremltools
    from tools.conversion import converted_classifier, preprocessing, writers

    if coreml_flags.coreml_file():
        load_coremltools()
    source = _load(path)
    classifier = converted_classifier.ConvertedClassifier(
        source=source,
        labels=converted_classifier.resolve_labels(
            path, source.metadata, optional_path(_LABELS), tuple(_CLASS_LABELS.value)
        ),
        input_format=preprocessing.resolve(
            preprocessing_options, source.channels, source.input_format
        ),
        add_softmax=_ADD_SOFTMAX.value,
        fit=fit_flag.resolve(
            _FIT.value, source.metadata.fit if source.metadata else None, f"--graph={path}"
        ),
    )
    classifier.check()
    messages = []
    with Staging() as staging:
        if keras_file := optional_path(_KERAS_FILE):
            messages.append(writers.write_keras(staging, keras_file, classifier))
        if saved_model_dir := optional_path(_SAVED_MODEL_DIR):
            messages.append(writers.write_saved_model(staging, saved_model_dir, classifier))
        if tflite_path := optional_path(_TFLITE_FILE):
            quantization = _TFLITE_QUANTIZATION.value
            messages.append(writers.write_tflite(staging, tflite_path, classifier, quantization))
        if coreml_file := coreml_flags.coreml_file():
            options = coreml_flags.parse_options()
            messages.append(writers.write_coreml(staging, coreml_file, classifier, options))
    for message in messages:
        logging.info("%s", message)


def _check_outputs() -> None:
    tflite_path, keras_file = optional_path(_TFLITE_FILE), optional_path(_KERAS_FILE)
    saved_model_dir, coreml_file = optional_path(_SAVED_MODEL_DIR), coreml_flags.coreml_file()
    if not any((tflite_path, keras_file, saved_model_dir, coreml_file)):
        raise UserError(
            "there is nothing to write; set --coreml_file, --tflite_file, --saved_model_dir or "
            "--keras_file"
        )
    if tflite_path:
        check_writable(tflite_path, "tflite_file")
    if keras_file:
        check_writable(keras_file, "keras_file")
        if keras_file.suffix != ".keras":
            raise UserError(
                f"--keras_file={_KERAS_FILE.value} must end in .keras, the only format of Keras "
                "that is written"
            )
    if saved_model_dir:
        saved_model.check(saved_model_dir)
    options = coreml_flags.parse_options()
    if coreml_file:
        coreml_options.check(coreml_file, options)
    if _TFLITE_QUANTIZATION.present and not tflite_path:
        raise UserError(
            f"--tflite_quantization={_TFLITE_QUANTIZATION.value} needs --tflite_file; add it"
        )
    if _TFLITE_QUANTIZATION.value == "int8":
        raise UserError(
            "--tflite_quantization=int8 needs images to measure ranges on; use bazel run //retrain "
            "-- --image_dir=DIR --tflite_quantization=int8"
        )
    if _TFLITE_QUANTIZATION.value not in _QUANTIZATIONS:
        raise UserError(
            f"--tflite_quantization={_TFLITE_QUANTIZATION.value} must be one of: "
            f"{', '.join(_QUANTIZATIONS)}"
        )


def _load(path: Path) -> SourceClassifier:
    from tools.conversion import load_frozen_graph, load_keras, load_saved_model

    options = GraphOptions(
        input_layer=_INPUT_LAYER.value,
        output_layer=_OUTPUT_LAYER.value,
        height=_INPUT_HEIGHT.value,
        width=_INPUT_WIDTH.value,
        trust_model=trust_flag.TRUST_MODEL.value,
    )
    weights = optional_path(_WEIGHTS)
    if weights:
        settle(weights)
    if path.suffix in (".keras", ".h5", ".hdf5", ".json"):
        return load_keras.load(path, weights)
    if weights:
        raise UserError(f"--weights={weights} needs a model.json as --graph, but got {path}")
    if path.is_dir():
        return load_saved_model.load(path, options)
    return load_frozen_graph.load(path, options)


def _preprocessing_options() -> PreprocessingOptions:
    return PreprocessingOptions(
        mean=_parse_numbers("input_mean", _INPUT_MEAN.value),
        std=_parse_numbers("input_std", _INPUT_STD.value),
        image_scale=_IMAGE_SCALE.value,
        red_bias=_RED_BIAS.value,
        green_bias=_GREEN_BIAS.value,
        blue_bias=_BLUE_BIAS.value,
        gray_bias=_GRAY_BIAS.value,
        is_bgr=_IS_BGR.value,
    )


def _parse_numbers(flag: str, values: Sequence[str] | None) -> tuple[float, ...] | None:
    if values is None:
        return None
    try:
        return tuple(float(value) for value in values)
    except ValueError as error:
        raise UserError(
            f"--{flag}={','.join(values)} must be one number, or several separated by commas"
        ) from error


if __name__ == "__main__":
    command_line.run(main, __doc__)

"""Converts a classifier to Core ML, TFLite, a SavedModel or today's Keras format.

    bazel run //tools:convert -- --graph=/tmp/output_graph.pb --coreml_file=locks.mlmodel

What is converted can be a frozen graph, the folder of a SavedModel, a .keras or .h5 file, or a
model.json with its weights, from retrain or from other programs. What retrain wrote describes
itself; of others, say what the outputs mean (--labels) and how images become numbers
(--input_mean and --input_std, or --image_scale and --red_bias as in Caffe).
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from retrain.errors import UserError
from retrain.export import coreml_options, saved_model
from retrain.flags import coreml_flags
from retrain.runtimes import tflite_file
from retrain.system import command_line
from retrain.system.console import quiet_native_libraries
from retrain.system.files import check_output_folder, check_writable, user_path
from tools.conversion.preprocessing import PixelChoices
from tools.conversion.source import KINDS, Choices, Source

_QUANTIZATIONS = ("none", "float16", "dynamic")

_GRAPH = flags.DEFINE_string(
    "graph",
    "/tmp/output_graph.pb",
    f"What to convert: {KINDS}.",
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "The weights for a model.json, as save_weights wrote them."
)
_LABELS = flags.DEFINE_string(
    "labels", None, "A file with one label a line. Needed only for what does not carry its labels."
)
_CLASS_LABELS = flags.DEFINE_list(
    "class_labels", [], "The labels themselves, with commas between them, instead of a file."
)
_INPUT_LAYER = flags.DEFINE_string(
    "input_layer", None, "The tensor of a graph that takes pixels, where it has no usual name."
)
_OUTPUT_LAYER = flags.DEFINE_string(
    "output_layer", None, "The tensor of the scores, where it has no usual name."
)
_INPUT_HEIGHT = flags.DEFINE_integer(
    "input_height", None, "Height of the images, where the graph does not say.", 1
)
_INPUT_WIDTH = flags.DEFINE_integer(
    "input_width", None, "Width of the images, where the graph does not say.", 1
)
_ADD_SOFTMAX = flags.DEFINE_boolean(
    "add_softmax", False, "Make probabilities of outputs that are none yet."
)
_INPUT_MEAN = flags.DEFINE_list(
    "input_mean", None, "Subtracted from each pixel, 0 to 255: a number, or one for each channel."
)
_INPUT_STD = flags.DEFINE_list(
    "input_std", None, "Divides each pixel then: a number, or one for each channel."
)
_IMAGE_SCALE = flags.DEFINE_float(
    "image_scale", None, "Multiplies each pixel, as in Caffe, instead of the two flags before."
)
_RED_BIAS = flags.DEFINE_float("red_bias", None, "Added to red then; -123.68 for VGG16.")
_GREEN_BIAS = flags.DEFINE_float("green_bias", None, "Added to green then; -116.779 for VGG16.")
_BLUE_BIAS = flags.DEFINE_float("blue_bias", None, "Added to blue then; -103.939 for VGG16.")
_GRAY_BIAS = flags.DEFINE_float("gray_bias", None, "Added to grey then.")
_IS_BGR = flags.DEFINE_boolean(
    "is_bgr", None, "Whether blue is the first channel, as with VGG16 and others from Caffe."
)
_TFLITE_FILE = flags.DEFINE_string("tflite_file", None, "Where to write a TFLite file.")
_TFLITE_QUANTIZATION = flags.DEFINE_string(
    "tflite_quantization",
    "none",
    f"How to make it smaller: {', '.join(_QUANTIZATIONS)}. int8 needs images: see //retrain.",
)
_SAVED_MODEL_DIR = flags.DEFINE_string(
    "saved_model_dir", None, "Where to write a SavedModel, a folder."
)
_KERAS_FILE = flags.DEFINE_string(
    "keras_file", None, "Where to write a Keras model in today's format, of one that is older."
)
flags.adopt_module_key_flags(coreml_flags)


def main(arguments: list[str]) -> None:
    """Converts as the flags say."""
    if arguments:
        raise UserError(
            f"no arguments besides flags are known, but got {arguments[0]}; --graph=FILE names "
            "what to convert"
        )
    _check_outputs()
    pixel_choices = _pixel_choices()
    path = user_path(_GRAPH.value)
    if not path.exists():
        raise UserError(f"--graph={path} does not exist; name the file or folder to convert")
    _check_readable(path)
    # What it has to say is said by exceptions.
    with quiet_native_libraries():
        _convert(path, pixel_choices)


def _check_readable(path: Path) -> None:
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            begin = file.read(8)
    except OSError as error:
        raise UserError(f"--graph={path} cannot be read: {error.strerror}; give {KINDS}") from error
    if tflite_file.is_tflite(begin):
        raise UserError(
            f"--graph={path} is a TFLite file, which cannot be converted; give what it was made "
            f"of: {KINDS}"
        )


def _convert(path: Path, pixel_choices: PixelChoices) -> None:
    # They take seconds to load, which a wrong flag need not wait for.
    from retrain.export.coremltools_import import load_coremltools
    from tools.conversion import preprocessing, targets
    from tools.conversion.classifier import Complete, labels

    if coreml_flags.coreml_file():
        load_coremltools()
    source = _load(path)
    classifier = Complete(
        source,
        labels(source, _optional_path(_LABELS.value), tuple(_CLASS_LABELS.value)),
        preprocessing.chosen(pixel_choices, source),
        _ADD_SOFTMAX.value,
    )
    classifier.check()
    if keras_file := _optional_path(_KERAS_FILE.value):
        targets.write_keras(keras_file, classifier)
    if saved_model_dir := _optional_path(_SAVED_MODEL_DIR.value):
        targets.write_saved_model(saved_model_dir, classifier)
    if tflite_file := _optional_path(_TFLITE_FILE.value):
        targets.write_tflite(tflite_file, classifier, _TFLITE_QUANTIZATION.value)
    if coreml_file := coreml_flags.coreml_file():
        targets.write_coreml(coreml_file, classifier, coreml_flags.parse_options())


def _check_outputs() -> None:
    files = {"tflite_file": _TFLITE_FILE.value, "keras_file": _KERAS_FILE.value}
    if not any((*files.values(), _SAVED_MODEL_DIR.value, coreml_flags.coreml_file())):
        raise UserError(
            "nothing to write: give --coreml_file, --tflite_file, --saved_model_dir or --keras_file"
        )
    for flag, name in files.items():
        if name:
            check_writable(user_path(name), flag)
    if _KERAS_FILE.value and not _KERAS_FILE.value.endswith(".keras"):
        raise UserError(
            f"--keras_file={_KERAS_FILE.value} must end in .keras: no other of Keras's formats is "
            "written"
        )
    if _SAVED_MODEL_DIR.value:
        check_output_folder(
            user_path(_SAVED_MODEL_DIR.value), "saved_model_dir", saved_model.CONTENTS
        )
    if coreml_file := coreml_flags.coreml_file():
        coreml_options.check(coreml_file, coreml_flags.parse_options())
    if _TFLITE_QUANTIZATION.value == "int8":
        raise UserError(
            "--tflite_quantization=int8 needs images to measure; bazel run //retrain -- "
            "--image_dir=DIR --tflite_quantization=int8 has them"
        )
    if _TFLITE_QUANTIZATION.value not in _QUANTIZATIONS:
        raise UserError(
            f"--tflite_quantization={_TFLITE_QUANTIZATION.value} is not known; choose one of: "
            f"{', '.join(_QUANTIZATIONS)}"
        )


def _load(path: Path) -> Source:
    from tools.conversion import load_graph, load_keras

    choices = Choices(
        input_layer=_INPUT_LAYER.value,
        output_layer=_OUTPUT_LAYER.value,
        height=_INPUT_HEIGHT.value,
        width=_INPUT_WIDTH.value,
    )
    weights = _optional_path(_WEIGHTS.value)
    if path.suffix in (".keras", ".h5", ".hdf5", ".json"):
        return load_keras.load(path, weights)
    if weights:
        raise UserError(f"--weights={weights} goes with a model.json only, not with {path}")
    if path.is_dir():
        return load_graph.load_saved_model(path, choices)
    return load_graph.load_frozen(path, choices)


def _pixel_choices() -> PixelChoices:
    return PixelChoices(
        mean=_numbers("input_mean", _INPUT_MEAN.value),
        std=_numbers("input_std", _INPUT_STD.value),
        image_scale=_IMAGE_SCALE.value,
        red_bias=_RED_BIAS.value,
        green_bias=_GREEN_BIAS.value,
        blue_bias=_BLUE_BIAS.value,
        gray_bias=_GRAY_BIAS.value,
        is_bgr=_IS_BGR.value,
    )


def _numbers(flag: str, values: Sequence[str] | None) -> tuple[float, ...] | None:
    if values is None:
        return None
    try:
        return tuple(float(value) for value in values)
    except ValueError as error:
        raise UserError(
            f"--{flag}={','.join(values)} must be a number, or several with commas between them"
        ) from error


def _optional_path(name: str | None) -> Path | None:
    return user_path(name) if name else None


if __name__ == "__main__":
    command_line.run(main, __doc__)

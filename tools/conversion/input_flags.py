"""The flags that describe the classifier to convert."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from retrain.errors import UserError
from retrain.runtimes import fit_flag
from retrain.system.program import trust_flag
from retrain.system.program.path_flags import graph_path, optional_path
from tools.conversion.preprocessing import PreprocessingOptions
from tools.conversion.source import FORMATS, GraphOptions

# Heading of these flags in --help.
HEADING = "Classifier to convert"

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
flags.adopt_module_key_flags(trust_flag)


def classifier_path() -> Path:
    """Returns the path of the classifier to convert."""
    return graph_path(_GRAPH)


def weights() -> Path | None:
    """Returns the file with the weights of a model.json, if there is one."""
    return optional_path(_WEIGHTS)


def labels_file() -> Path | None:
    """Returns the file with the labels, if there is one."""
    return optional_path(_LABELS)


def input_files() -> dict[str, Path]:
    """Returns the files and folders to read, by their flags."""
    paths = {"graph": classifier_path(), "weights": weights(), "labels": labels_file()}
    return {flag: path for flag, path in paths.items() if path}


def class_labels() -> tuple[str, ...]:
    """Returns the labels in the flag that lists them."""
    return tuple(_CLASS_LABELS.value)


def graph_options() -> GraphOptions:
    """Returns the description of a graph."""
    return GraphOptions(
        input_layer=_INPUT_LAYER.value,
        output_layer=_OUTPUT_LAYER.value,
        height=_INPUT_HEIGHT.value,
        width=_INPUT_WIDTH.value,
        trust_model=trust_flag.TRUST_MODEL.value,
    )


def fit() -> str | None:
    """Returns how images of another aspect ratio are resized, if the user says it."""
    return _FIT.value


def add_softmax() -> bool:
    """Returns whether to turn the outputs into probabilities with a softmax."""
    return _ADD_SOFTMAX.value


def preprocessing_options() -> PreprocessingOptions:
    """Returns the description of the preprocessing.

    Raises:
        UserError: If a value is not a list of numbers.
    """
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

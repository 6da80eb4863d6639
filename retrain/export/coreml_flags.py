"""The flags for Core ML files, which more than one program has."""

from pathlib import Path

from absl import flags

from retrain.config import CoreMLOptions
from retrain.export.coreml_options import PRECISIONS
from retrain.system.files import user_path

_OPTIONS = CoreMLOptions()

_FILE = flags.DEFINE_string(
    "coreml_file",
    None,
    "Where to write a Core ML model, for apps on iOS and macOS: an ML Program where the name ends "
    "in .mlpackage (iOS 15 and later), a neural network where it ends in .mlmodel (iOS 13).",
)
_PRECISION = flags.DEFINE_enum(
    "coreml_precision",
    _OPTIONS.precision,
    PRECISIONS,
    "The numbers in it: float16 takes half the space, and all that Apple's Neural Engine knows.",
)
_AUTHOR = flags.DEFINE_string("coreml_author", _OPTIONS.author, "Who made it, for Xcode to show.")
_LICENSE = flags.DEFINE_string("coreml_license", _OPTIONS.license, "What others may do with it.")
_VERSION = flags.DEFINE_string("coreml_version", _OPTIONS.version, "Its version.")
_DESCRIPTION = flags.DEFINE_string(
    "coreml_description",
    _OPTIONS.description,
    "What it does; by default which labels it knows and how often it is right.",
)
_INPUT = flags.DEFINE_string("coreml_input", _OPTIONS.input_name, "Name of its input, an image.")
_INPUT_DESCRIPTION = flags.DEFINE_string(
    "coreml_input_description",
    _OPTIONS.input_description,
    "What the image is; by default its size and colours.",
)
_LABEL_DESCRIPTION = flags.DEFINE_string(
    "coreml_label_description", _OPTIONS.label_description, "What its output classLabel is."
)
_PROBABILITIES = flags.DEFINE_string(
    "coreml_probabilities",
    _OPTIONS.probabilities_name,
    "Name of its other output, a dictionary from labels to probabilities.",
)
_PROBABILITIES_DESCRIPTION = flags.DEFINE_string(
    "coreml_probabilities_description",
    _OPTIONS.probabilities_description,
    "What that dictionary is.",
)


def file() -> Path | None:
    """Returns where the user wants the Core ML file, if at all."""
    return user_path(_FILE.value) if _FILE.value else None


def options() -> CoreMLOptions:
    """Returns what the user chose of it."""
    return CoreMLOptions(
        precision=_PRECISION.value,
        input_name=_INPUT.value,
        probabilities_name=_PROBABILITIES.value,
        author=_AUTHOR.value,
        license=_LICENSE.value,
        version=_VERSION.value,
        description=_DESCRIPTION.value,
        input_description=_INPUT_DESCRIPTION.value,
        label_description=_LABEL_DESCRIPTION.value,
        probabilities_description=_PROBABILITIES_DESCRIPTION.value,
    )

"""Defines the flags for Core ML files that several programs share."""

from pathlib import Path

from absl import flags

from retrain.errors import UserError
from retrain.export.coreml_options import PRECISIONS
from retrain.output_options import CoreMLOptions
from retrain.system.files.user_paths import user_path

# Heading of these flags in --help.
HEADING = "Core ML file"

_DEFAULTS = CoreMLOptions()

_FILE = flags.DEFINE_string(
    "coreml_file",
    None,
    "File for the classifier as a Core ML model, for apps on iOS and macOS: an ML Program (iOS 15 "
    "and later) if the name ends in .mlpackage, or a neural network (iOS 13 and later) if it ends "
    "in .mlmodel.",
)
_PRECISION = flags.DEFINE_enum(
    "coreml_precision",
    _DEFAULTS.precision,
    PRECISIONS,
    "Floating-point type of the Core ML model. float16 halves its size and is the only type that "
    "Apple's Neural Engine supports.",
)
_AUTHOR = flags.DEFINE_string(
    "coreml_author", _DEFAULTS.author, "Author of the Core ML model, as Xcode shows it."
)
_LICENSE = flags.DEFINE_string(
    "coreml_license", _DEFAULTS.license, "License of the Core ML model, as Xcode shows it."
)
_VERSION = flags.DEFINE_string(
    "coreml_version", _DEFAULTS.version, "Version of the Core ML model, as Xcode shows it."
)
_DESCRIPTION = flags.DEFINE_string(
    "coreml_description",
    _DEFAULTS.description,
    "Description of the Core ML model. By default, its labels, backbone and test accuracy.",
)
_INPUT = flags.DEFINE_string(
    "coreml_input", _DEFAULTS.input_name, "Name of the Core ML model's image input."
)
_INPUT_DESCRIPTION = flags.DEFINE_string(
    "coreml_input_description",
    _DEFAULTS.input_description,
    "Description of the image input. By default, its colours and size.",
)
_LABEL_DESCRIPTION = flags.DEFINE_string(
    "coreml_label_description",
    _DEFAULTS.label_description,
    "Description of the label output, classLabel.",
)
_PROBABILITIES = flags.DEFINE_string(
    "coreml_probabilities",
    _DEFAULTS.probabilities_name,
    "Name of the output that maps labels to probabilities.",
)
_PROBABILITIES_DESCRIPTION = flags.DEFINE_string(
    "coreml_probabilities_description",
    _DEFAULTS.probabilities_description,
    "Description of the output that maps labels to probabilities.",
)


_FLAGS: dict[str, flags.FlagHolder] = {
    "precision": _PRECISION,
    "input_name": _INPUT,
    "probabilities_name": _PROBABILITIES,
    "author": _AUTHOR,
    "license": _LICENSE,
    "version": _VERSION,
    "description": _DESCRIPTION,
    "input_description": _INPUT_DESCRIPTION,
    "label_description": _LABEL_DESCRIPTION,
    "probabilities_description": _PROBABILITIES_DESCRIPTION,
}


def coreml_file() -> Path | None:
    """Returns the path of the Core ML file, or None if the flag is not set."""
    return user_path(_FILE.value) if _FILE.value else None


def parse_options() -> CoreMLOptions:
    """Returns the options for the Core ML file.

    Raises:
        UserError: If an option is set, but no file.
    """
    for flag in _FLAGS.values():
        if flag.present and not _FILE.value:
            raise UserError(f"--{flag.name}={flag.value} needs --coreml_file; add it")
    return CoreMLOptions(**{field: flag.value for field, flag in _FLAGS.items()})

"""Checks the options for Core ML files."""

import re
from pathlib import Path

from retrain.errors import UserError
from retrain.output_options import CoreMLOptions
from retrain.system.outputs.checks import check_output_folder, check_utf8, check_writable

FLOAT16 = "float16"
FLOAT32 = "float32"
PRECISIONS = (FLOAT16, FLOAT32)

ML_PROGRAM_SUFFIX = ".mlpackage"
NEURAL_NETWORK_SUFFIX = ".mlmodel"

# Name of the output for the best label.
CLASS_LABEL = "classLabel"

# A folder with anything else in it is not replaced.
CONTENTS = frozenset(("Data", "Manifest.json"))

_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def check(path: Path, options: CoreMLOptions) -> None:
    """Raises UserError if the options are invalid, or the file cannot be written."""
    if path.suffix == ML_PROGRAM_SUFFIX:
        check_output_folder(path, "coreml_file", CONTENTS)
    elif path.suffix == NEURAL_NETWORK_SUFFIX:
        check_writable(path, "coreml_file")
    else:
        raise UserError(
            f"--coreml_file={path} must end in {ML_PROGRAM_SUFFIX} (ML Program, iOS 15 and later) "
            f"or {NEURAL_NETWORK_SUFFIX} (neural network, iOS 13 and later)"
        )
    check_utf8(path, "coreml_file")
    if options.precision not in PRECISIONS:
        raise UserError(
            f"--coreml_precision={options.precision} is not known; "
            f"choose one of: {', '.join(PRECISIONS)}"
        )
    _check_names(
        {"coreml_input": options.input_name, "coreml_probabilities": options.probabilities_name}
    )


def _check_names(names: dict[str, str]) -> None:
    """Checks the names of inputs and outputs, by flag."""
    used = {CLASS_LABEL}
    for flag, name in names.items():
        if not _NAME.fullmatch(name):
            raise UserError(
                f"--{flag}={name} is not a valid Core ML name; use letters, digits and _, and do "
                "not begin with a digit"
            )
        if name in used:
            raise UserError(
                f"--{flag}={name} is already the name of another input or output; choose another "
                "name"
            )
        used.add(name)

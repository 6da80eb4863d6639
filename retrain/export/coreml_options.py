"""What Core ML files can be, and whether options fit them."""

import re
from collections.abc import Mapping
from pathlib import Path

from retrain.config import CoreMLOptions
from retrain.errors import UserError
from retrain.system.files import check_output_folder, check_writable

FLOAT16 = "float16"
FLOAT32 = "float32"
PRECISIONS = (FLOAT16, FLOAT32)

PROGRAM = ".mlpackage"
NEURAL_NETWORK = ".mlmodel"

# The output with the label that fits best.
CLASS_LABEL = "classLabel"

_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
# What is in a package, so that nobody's other files are replaced with it.
CONTENTS = frozenset(("Data", "Manifest.json"))


def check(path: Path, options: CoreMLOptions) -> None:
    """Raises UserError where there is no such kind of file, or it could not be written."""
    if path.suffix == PROGRAM:
        check_output_folder(path, "coreml_file", CONTENTS)
    elif path.suffix == NEURAL_NETWORK:
        check_writable(path, "coreml_file")
    else:
        raise UserError(
            f"--coreml_file={path} must end in {PROGRAM} (ML Program, iOS 15 and later) or "
            f"{NEURAL_NETWORK} (neural network, iOS 13 and later)"
        )
    if options.precision not in PRECISIONS:
        raise UserError(
            f"--coreml_precision={options.precision} is not known; "
            f"choose one of: {', '.join(PRECISIONS)}"
        )
    _check_names({"input": options.input_name, "probabilities": options.probabilities_name})


def _check_names(names: Mapping[str, str]) -> None:
    taken = {CLASS_LABEL}
    for flag, name in names.items():
        if not _NAME.fullmatch(name):
            raise UserError(
                f"--coreml_{flag}={name} is not a name that Core ML allows: letters, digits and _, "
                "no digit first"
            )
        if name in taken:
            raise UserError(f"--coreml_{flag}={name} is the name of something else in the model")
        taken.add(name)

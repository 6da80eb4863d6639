"""The files to convert a classifier to."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from retrain.errors import UserError
from retrain.export import coreml_options, saved_model
from retrain.output_options import CoreMLOptions
from retrain.system.outputs.checks import check_writable

QUANTIZATIONS = ("none", "float16", "dynamic")


@dataclasses.dataclass(frozen=True)
class ConversionOutputs:
    """The files to write. A path of None means that the file is not written.

    Attributes:
        keras_file: The classifier as a Keras model.
        saved_model_dir: The classifier as a SavedModel.
        tflite_file: The classifier as a TFLite model.
        tflite_quantization: Quantisation of the TFLite model, one of QUANTIZATIONS.
        coreml_file: The classifier as a Core ML model.
        coreml: Format of the Core ML model.
    """

    keras_file: Path | None = None
    saved_model_dir: Path | None = None
    tflite_file: Path | None = None
    tflite_quantization: str = "none"
    coreml_file: Path | None = None
    coreml: CoreMLOptions = dataclasses.field(default_factory=CoreMLOptions)

    def paths(self) -> dict[str, Path]:
        """Returns the files and folders to write, by their flags."""
        names = ("tflite_file", "saved_model_dir", "keras_file", "coreml_file")
        return {name: path for name in names if (path := getattr(self, name)) is not None}

    def check(self, inputs: Mapping[str, Path]) -> None:
        """Raises UserError if there is no file to write, or one cannot or must not be written.

        Args:
            inputs: Files and folders that the program reads, by their flags.
        """
        if not self.paths():
            raise UserError(
                "there is nothing to write; set --coreml_file, --tflite_file, --saved_model_dir or "
                "--keras_file"
            )
        self._check_paths_are_apart(inputs)
        if self.tflite_file:
            check_writable(self.tflite_file, "tflite_file")
        if self.keras_file:
            check_writable(self.keras_file, "keras_file")
            if self.keras_file.suffix != ".keras":
                raise UserError(
                    f"--keras_file={self.keras_file} must end in .keras, the only format of Keras "
                    "that is written"
                )
        if self.saved_model_dir:
            saved_model.check(self.saved_model_dir)
        if self.coreml_file:
            coreml_options.check(self.coreml_file, self.coreml)
        if self.tflite_quantization == "int8":
            raise UserError(
                "--tflite_quantization=int8 needs images to measure ranges on; use bazel run "
                "//retrain -- --image_dir=DIR --tflite_quantization=int8"
            )
        if self.tflite_quantization not in QUANTIZATIONS:
            raise UserError(
                f"--tflite_quantization={self.tflite_quantization} must be one of: "
                f"{', '.join(QUANTIZATIONS)}"
            )

    def _check_paths_are_apart(self, inputs: Mapping[str, Path]) -> None:
        outputs = self.paths()
        for flag, path in outputs.items():
            # A link is replaced, and not what it leads to.
            replaced = Path(os.path.realpath(path.parent), path.name)
            for other, other_path in {**inputs, **outputs}.items():
                if other != flag and Path(os.path.realpath(other_path)).is_relative_to(replaced):
                    raise UserError(
                        f"--{other}={other_path} would be replaced by --{flag}={path}; choose "
                        "another path"
                    )

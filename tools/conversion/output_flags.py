"""The flags that name the files to convert a classifier to."""

from absl import flags

from retrain.errors import UserError
from retrain.flags import coreml_flags
from retrain.system.program.path_flags import optional_path
from tools.conversion.outputs import QUANTIZATIONS, ConversionOutputs

# Heading of these flags in --help.
HEADING = "Files to write"

_TFLITE_FILE = flags.DEFINE_string(
    "tflite_file", None, "File for the classifier as a TFLite model."
)
_TFLITE_QUANTIZATION = flags.DEFINE_string(
    "tflite_quantization",
    "none",
    f"Quantisation of the TFLite model: {', '.join(QUANTIZATIONS)}. Only //retrain can write int8 "
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


def parse_outputs() -> ConversionOutputs:
    """Returns the files to write.

    Raises:
        UserError: If flags contradict each other.
    """
    outputs = ConversionOutputs(
        keras_file=optional_path(_KERAS_FILE),
        saved_model_dir=optional_path(_SAVED_MODEL_DIR),
        tflite_file=optional_path(_TFLITE_FILE),
        tflite_quantization=_TFLITE_QUANTIZATION.value,
        coreml_file=coreml_flags.coreml_file(),
        coreml=coreml_flags.parse_options(),
    )
    if _TFLITE_QUANTIZATION.present and not outputs.tflite_file:
        raise UserError(
            f"--tflite_quantization={_TFLITE_QUANTIZATION.value} needs --tflite_file; add it"
        )
    return outputs

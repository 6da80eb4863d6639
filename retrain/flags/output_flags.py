"""The flags that name the files to write."""

from pathlib import Path

from absl import flags

from retrain.config import TrainingConfig
from retrain.errors import UserError
from retrain.flags import coreml_flags
from retrain.output_options import OutputOptions, TFLiteOptions
from retrain.system.program import path_flags

# Heading of these flags in --help.
HEADING = "Files to write"

_DEFAULTS = OutputOptions()

_OUTPUT_GRAPH = flags.DEFINE_string(
    "output_graph",
    str(_DEFAULTS.output_graph),
    "File for the classifier as a frozen TensorFlow graph.",
)
_OUTPUT_LABELS = flags.DEFINE_string(
    "output_labels", str(_DEFAULTS.output_labels), "File for the labels, one per line."
)
_SAVED_MODEL_DIR = flags.DEFINE_string(
    "saved_model_dir",
    None,
    "Folder for the classifier as a SavedModel, for TensorFlow Serving: a new folder, or one that "
    "an earlier run wrote.",
)
_KERAS_FILE = flags.DEFINE_string(
    "keras_file", None, "File for the classifier as a Keras model, with a name that ends in .keras."
)
_TFLITE_FILE = flags.DEFINE_string(
    "tflite_file",
    None,
    "File for the classifier as a TFLite model, with the metadata that mobile apps read.",
)
_TFLITE_QUANTIZATION = flags.DEFINE_string(
    "tflite_quantization",
    _DEFAULTS.tflite.quantization,
    "Quantisation of the TFLite model: none; float16, for half the size; dynamic, for a third of "
    "the size and less accuracy; or int8, for a third of the size and twice the speed, with a last "
    "layer that is trained for it.",
)
_TFLITE_INPUT = flags.DEFINE_string(
    "tflite_input",
    _DEFAULTS.tflite.input_type,
    "Type of the TFLite model's input: uint8 for RGB pixels, or float32 for normalised pixels.",
)
_MIN_AGREEMENT = flags.DEFINE_float(
    "min_agreement",
    _DEFAULTS.min_agreement,
    "Minimum fraction, 0 to 1, of the compared images to which each exported model must give the "
    "same label as the tested classifier. If one of the models does not, no file is written.",
    lower_bound=0,
    upper_bound=1,
)
_ASSERT_ACCURACY_AT_LEAST = flags.DEFINE_float(
    "assert_accuracy_at_least",
    _DEFAULTS.assert_accuracy_at_least,
    "Minimum test accuracy, 0 to 1. If the classifier does not reach it, the run fails and no file "
    "is written.",
    lower_bound=0,
    upper_bound=1,
)
_METRICS_JSON = flags.DEFINE_string("metrics_json", None, "JSON file for all metrics of the run.")
_REPORT = flags.DEFINE_string(
    "report",
    None,
    "HTML file for a report: how good the classifier is, where it fails, which images get a wrong "
    "label, and what to do next. It needs no other files.",
)
_PREDICTIONS = flags.DEFINE_string(
    "predictions",
    None,
    "CSV file for the scores of all held-out images: those of the validation and test splits, and "
    "those of the folds of a cross-validation.",
)
_PRINT_MISCLASSIFIED = flags.DEFINE_boolean(
    "print_misclassified_test_images",
    TrainingConfig.print_misclassified_test_images,
    "Whether to list the test images that get a wrong label.",
)
_SUMMARIES_DIR = flags.DEFINE_string(
    "summaries_dir",
    str(_DEFAULTS.summaries_dir),
    "Folder for TensorBoard summaries, in which each run creates a sub-folder. With an empty "
    "value, no summaries are written.",
)
_PLOTS_DIR = flags.DEFINE_string(
    "plots_dir",
    None,
    "Folder for plots: curves.png, the training curves; pictures.png, some training images as the "
    "network sees them; confusion.png, the confusion matrix; and, with --fine_tune_epochs, "
    "fine_tuning.png. TensorBoard shows the plots as well.",
)
_FINAL_TENSOR_NAME = flags.DEFINE_string(
    "final_tensor_name", _DEFAULTS.final_tensor_name, "Name of the output tensor in the graph."
)
_INTERMEDIATE_STORE_FREQUENCY = flags.DEFINE_integer(
    "intermediate_store_frequency",
    _DEFAULTS.intermediate_store_frequency,
    "Number of gradient descent steps between two intermediate classifiers; 0 writes none.",
    lower_bound=0,
)
_INTERMEDIATE_OUTPUT_GRAPHS_DIR = flags.DEFINE_string(
    "intermediate_output_graphs_dir",
    str(_DEFAULTS.intermediate_output_graphs_dir),
    "Folder for the intermediate classifiers.",
)


def parse_options() -> OutputOptions:
    """Returns the files to write.

    Raises:
        UserError: If a name is invalid, or flags contradict each other.
    """
    return OutputOptions(
        output_graph=path_flags.required_path(_OUTPUT_GRAPH),
        output_labels=path_flags.required_path(_OUTPUT_LABELS),
        saved_model_dir=path_flags.optional_path(_SAVED_MODEL_DIR),
        keras_file=path_flags.optional_path(_KERAS_FILE),
        tflite_file=path_flags.optional_path(_TFLITE_FILE),
        tflite=_tflite_options(),
        coreml_file=coreml_flags.coreml_file(),
        coreml=coreml_flags.parse_options(),
        min_agreement=_MIN_AGREEMENT.value,
        assert_accuracy_at_least=_ASSERT_ACCURACY_AT_LEAST.value,
        metrics_json=path_flags.optional_path(_METRICS_JSON),
        report=_path_with_suffix(_REPORT, ".html", ".htm"),
        predictions=_path_with_suffix(_PREDICTIONS, ".csv"),
        summaries_dir=path_flags.optional_path(_SUMMARIES_DIR),
        plots_dir=path_flags.optional_path(_PLOTS_DIR),
        intermediate_output_graphs_dir=path_flags.required_path(_INTERMEDIATE_OUTPUT_GRAPHS_DIR),
        intermediate_store_frequency=_INTERMEDIATE_STORE_FREQUENCY.value,
        final_tensor_name=_FINAL_TENSOR_NAME.value,
    )


def print_misclassified_test_images() -> bool:
    """Returns whether to list the test images that get a wrong label."""
    return _PRINT_MISCLASSIFIED.value


def sgd_flags() -> list[str]:
    """Returns the names of flags that are set, and need gradient descent."""
    flag = _INTERMEDIATE_STORE_FREQUENCY
    return [flag.name] if flag.present else []


def _path_with_suffix(flag: flags.FlagHolder[str | None], *suffixes: str) -> Path | None:
    path = path_flags.optional_path(flag)
    if path and path.suffix.lower() not in suffixes:
        hint = ""
        if path.suffix.lower() == ".parquet":
            hint = "; pandas.read_csv(...).to_parquet(...) converts it"
        raise UserError(
            f"--{flag.name}={flag.value} must have a name that ends in {suffixes[0]}{hint}"
        )
    return path


def _tflite_options() -> TFLiteOptions:
    if not _TFLITE_FILE.value:
        for flag in (_TFLITE_QUANTIZATION, _TFLITE_INPUT):
            if flag.present:
                raise UserError(f"--{flag.name}={flag.value} needs --tflite_file; add it")
    return TFLiteOptions(_TFLITE_QUANTIZATION.value, _TFLITE_INPUT.value)

"""The options of the files that a training run writes, with their defaults."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class TFLiteOptions:
    """Format of the TFLite file.

    Attributes:
        quantization: "none"; "float16" or "dynamic" for weights of the backbone in 16 or 8 bits and
            computation in floating point; or "int8" for computation in integers only.
        input_type: "uint8" for RGB pixels, 0 to 255; "float32" for pixels that are normalised as
            the file's metadata state.
    """

    quantization: str = "none"
    input_type: str = "uint8"


@dataclasses.dataclass(frozen=True)
class CoreMLOptions:
    """Format of the Core ML model, and the texts that Xcode shows.

    Attributes:
        precision: "float16" or "float32". float16 takes half the space; an ML Program also
            computes in float16, as Apple's Neural Engine does.
        input_name: Name of the image input, for apps that do not use Vision.
        probabilities_name: Name of the dictionary from labels to probabilities.
        author: Author of the model.
        license: Licence of the model.
        version: Version of the model.
        description: Description of the model; None for one with the labels and the accuracy.
        input_description: Description of the image input; None for one with size and colours.
        label_description: Description of the label output.
        probabilities_description: Description of the probabilities output.
    """

    precision: str = "float16"
    input_name: str = "image"
    probabilities_name: str = "probabilities"
    author: str = ""
    license: str = ""
    version: str = "1.0"
    description: str | None = None
    input_description: str | None = None
    label_description: str = "The most likely label."
    probabilities_description: str = "The probability of each label, 0 to 1."


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """The files that a run writes. A path of None means that the file is not written.

    Attributes:
        output_graph: The classifier as a frozen graph.
        output_labels: The labels, one per line.
        saved_model_dir: The classifier as a SavedModel.
        keras_file: The classifier as a Keras model.
        tflite_file: The classifier as a TFLite model.
        tflite: Format of the TFLite model.
        coreml_file: The classifier as a Core ML model.
        coreml: Format of the Core ML model.
        min_agreement: Minimum fraction of the images that each exported model must label like the
            tested classifier, 0 to 1. If one of them does not, nothing is written.
        assert_accuracy_at_least: Minimum test accuracy, 0 to 1. If it is not reached, nothing is
            written. None for no minimum.
        metrics_json: All metrics of the run.
        report: A page for browsers about the classifier and its mistakes.
        predictions: A table with the scores of all held-out images.
        summaries_dir: Folder for TensorBoard, in which each run creates its own.
        plots_dir: Folder for the plots of the run.
        intermediate_output_graphs_dir: Folder for classifiers from before the end of training.
        intermediate_store_frequency: Number of steps between two such classifiers; 0 for none.
        final_tensor_name: Name of the output in the graph.
    """

    output_graph: Path = Path("/tmp/output_graph.pb")
    output_labels: Path = Path("/tmp/output_labels.txt")
    saved_model_dir: Path | None = None
    keras_file: Path | None = None
    tflite_file: Path | None = None
    tflite: TFLiteOptions = TFLiteOptions()
    coreml_file: Path | None = None
    coreml: CoreMLOptions = CoreMLOptions()
    min_agreement: float = 0.95
    assert_accuracy_at_least: float | None = None
    metrics_json: Path | None = None
    report: Path | None = None
    predictions: Path | None = None
    summaries_dir: Path | None = Path("/tmp/retrain_logs")
    plots_dir: Path | None = None
    intermediate_output_graphs_dir: Path = Path("/tmp/intermediate_graph")
    intermediate_store_frequency: int = 0
    final_tensor_name: str = "final_result"

    @property
    def result_files(self) -> dict[str, Path]:
        """The files with results of the run, by their flags."""
        paths = {
            "metrics_json": self.metrics_json,
            "report": self.report,
            "predictions": self.predictions,
        }
        return {flag: path for flag, path in paths.items() if path}

    @property
    def shows_cross_validation(self) -> bool:
        """Whether one of the files has the results of a cross-validation."""
        return self.report is not None or self.predictions is not None

"""The options of a training run, with their defaults.

No other module defines a default; main programs take the defaults of their flags from here.
"""

import dataclasses
from pathlib import Path

# Values of `SplitOptions.group_by`.
NEAR_DUPLICATES = "near_duplicates"
FOLDER = "folder"
PREFIX = "prefix"
UNGROUPED = "none"

# Value of `FineTuningOptions.epochs` and `layers` that leaves the choice to the program.
AUTO = "auto"

# Values of `TrainingConfig.select_architecture`.
SMALLEST = "smallest"
MOST_ACCURATE = "most_accurate"

# Value of `FineTuningOptions.layers` for all layers.
ALL_LAYERS = -1

# Folds of a cross-validation that a report or a comparison needs.
DEFAULT_FOLDS = 5


@dataclasses.dataclass(frozen=True)
class SplitOptions:
    """How images are divided into training, validation and test splits.

    Attributes:
        validation_percentage: Percentage of the images for validation, 0 to 100.
        testing_percentage: Percentage of the images for the final test, 0 to 100.
        split_by: "name" for a split by a hash of folder and file name; "path" for a split by a
            hash of the whole path, as in TensorFlow's script, which changes if the folder moves.
        group_by: Which images are never divided between splits or folds: NEAR_DUPLICATES; FOLDER
            for those in sub-folders of classes with the same path; PREFIX for those whose names
            are the same up to the last separator; or UNGROUPED.
        typed_image_dir: The image folder as the user typed it, which "path" hashes.
        validation_dir: Folder with the validation images in the same sub-folders, if they are
            not taken from the image folder.
        test_dir: Folder with the test images in the same sub-folders, if they are not taken from
            the image folder.
    """

    validation_percentage: float = 10
    testing_percentage: float = 10
    split_by: str = "name"
    group_by: str = NEAR_DUPLICATES
    typed_image_dir: str = ""
    validation_dir: Path | None = None
    test_dir: Path | None = None


@dataclasses.dataclass(frozen=True)
class DistortionOptions:
    """How training images are augmented. Names and meanings are those of TensorFlow's script.

    Attributes:
        random_crop: Margin that is cropped at a random position, in percent of the result.
        random_scale: Maximum enlargement in percent.
        random_brightness: Maximum change of the brightness in percent.
        flip_left_right: Whether half of the variants are mirrored.
        per_image: Number of distorted variants of each image, which stay the same during the
            training; 0 for new variants in every training step, as in TensorFlow's script.
        seed: Random seed of the variants.
    """

    random_crop: float = 0
    random_scale: float = 0
    random_brightness: float = 0
    flip_left_right: bool = False
    per_image: int = 8
    seed: int = 0

    @property
    def any(self) -> bool:
        """Whether images are distorted at all."""
        return bool(
            self.random_crop or self.random_scale or self.random_brightness or self.flip_left_right
        )

    @property
    def cached(self) -> int:
        """Number of distorted variants of each image whose bottlenecks are cached."""
        return self.per_image if self.any else 0

    @property
    def fresh(self) -> bool:
        """Whether each training step computes new variants."""
        return self.any and not self.per_image


@dataclasses.dataclass(frozen=True)
class HeadOptions:
    """How the head, the last layer of the classifier, is trained.

    Attributes:
        solver: "logistic_regression", or "sgd" for gradient descent as in TensorFlow's script.
        class_weights: Weights of the classes; see `class_weights.compute_shares`.
        calibrate: Whether to calibrate the scores by temperature scaling.
        steps: Number of gradient descent steps.
        learning_rate: Learning rate of gradient descent.
        train_batch_size: Number of images in a training step, sampled evenly from all classes; -1
            for all images.
        validation_batch_size: Number of validation images in each evaluation; -1 for all.
        eval_step_interval: Number of steps between two evaluations.
        seed: Random seed of the folds, the initial weights and the batches.
    """

    solver: str = "logistic_regression"
    class_weights: str = "balanced"
    calibrate: bool = True
    steps: int = 4000
    learning_rate: float = 0.01
    train_batch_size: int = 100
    validation_batch_size: int = 100
    eval_step_interval: int = 10
    seed: int = 0

    @property
    def effective_class_weights(self) -> str:
        """`class_weights`, or "by_pictures" if each step of gradient descent uses all images.

        Each image is then used once in each step, so that a class weighs as much as its images.
        """
        uses_all = self.solver == "sgd" and self.train_batch_size == -1
        return "by_pictures" if uses_all else self.class_weights


@dataclasses.dataclass(frozen=True)
class FineTuningOptions:
    """How the backbone is fine-tuned on the training images.

    Attributes:
        epochs: Number of passes over the training images; 0 for no fine-tuning; AUTO to stop when
            the validation loss no longer decreases.
        layers: Number of the backbone's last layers with weights to train; ALL_LAYERS; or AUTO for
            the stages in which images have at most a sixteenth of their height.
        batch_size: Number of images in a step.
        learning_rate: Peak learning rate, reached after the warm-up. It then decays to 0, or stays
            constant with epochs AUTO.
        warm_up: Fraction of all steps for the warm-up, 0 to 1, if the number of epochs is given.
        weight_decay: Weight decay of AdamW.
        label_smoothing: Probability that is spread over all classes, 0 to less than 1.
        distortions: Distortions of the images if the user chooses none. They do not mirror
            images, because that turns some letters or hand signs into others.
    """

    epochs: int | str = 0
    layers: int | str = ALL_LAYERS
    batch_size: int = 32
    learning_rate: float = 2e-4
    warm_up: float = 0.1
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    distortions: DistortionOptions = DistortionOptions(
        random_crop=15, random_scale=30, random_brightness=20
    )


# The options if the program chooses the number of epochs. Fewer epochs need a higher learning rate.
AUTO_FINE_TUNING = FineTuningOptions(epochs=AUTO, layers=AUTO, learning_rate=5e-4)


@dataclasses.dataclass(frozen=True)
class BackboneOptions:
    """Which pretrained backbone to use.

    The fields from `input_layer` on describe a TensorFlow Hub module or a frozen graph. They are
    None for everything that the file itself states, or that is known about files of its kind.

    Attributes:
        architecture: Name of the architecture.
        weights: File with the weights, in place of a download.
        input_size: Height and width of the input in pixels; None for the size that the
            architecture was trained with.
        tfhub_module: Address, handle or path of a TensorFlow Hub module, in place of a name.
        model_dir: Frozen graph, or a folder that contains one, in place of a name.
        input_layer: Name of the tensor that takes normalised pixels.
        bottleneck_layer: Name of the tensor with the bottlenecks.
        input_height: Height of the input in pixels.
        input_width: Width of the input in pixels.
        input_mean: Value of each channel to subtract from pixels, 0 to 255.
        input_std: Value of each channel to divide by after the subtraction.
        trust_model: Whether to run a graph or module that does more than compute.
        fit: How images of another aspect ratio are resized, one of `retrain.metadata.FITS`; None
            for what the file states, or else STRETCH.
    """

    architecture: str = "efficientnet_lite0"
    weights: Path | None = None
    input_size: int | None = None
    tfhub_module: str | None = None
    model_dir: Path | None = None
    input_layer: str | None = None
    bottleneck_layer: str | None = None
    input_height: int | None = None
    input_width: int | None = None
    input_mean: tuple[float, float, float] | None = None
    input_std: tuple[float, float, float] | None = None
    trust_model: bool = False
    fit: str | None = None

    @property
    def name(self) -> str:
        """What the user chose, without the query part of an address, which can be a secret."""
        if self.tfhub_module:
            return self.tfhub_module.partition("?")[0]
        return str(self.model_dir or self.architecture)


@dataclasses.dataclass(frozen=True)
class BaselineOptions:
    """The earlier classifier that the new one is compared with.

    Attributes:
        graph: File or folder of the classifier; None for no comparison.
        labels: File with its labels, one per line; None for those in the classifier.
    """

    graph: Path | None = None
    labels: Path | None = None


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


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Configuration of one run.

    Attributes:
        image_dir: Folder with a sub-folder of images for each class.
        split: How the images are split.
        distortions: How the training images are augmented.
        head: How the head is trained.
        output: The files to write.
        fine_tuning: How the backbone is fine-tuned, if at all.
        bottleneck_dir: Folder of the cache. Has no default here, since it depends on the user.
        shards: Folder or URL of Parquet files with bottlenecks to read first; None for none.
        backbone: The pretrained backbone.
        engine: Name of the engine that runs the backbone.
        strict: Whether an unreadable image ends the run.
        test_batch_size: Number of test images to use; -1 for all.
        print_misclassified_test_images: Whether to list the test images with a wrong label.
        command_line: Arguments of the program, for the report.
        folds: Number of folds of the cross-validation, at least 2; 0 for 5 if a report or
            predictions need them, and else none.
        architectures: Names of several pretrained networks to compare; empty for no comparison.
        select_architecture: Which of them to use: SMALLEST for the smallest one whose accuracy is
            within one standard error of the best, or MOST_ACCURATE.
        baseline: The earlier classifier to compare with.
    """

    image_dir: Path
    split: SplitOptions = SplitOptions()
    distortions: DistortionOptions = DistortionOptions()
    head: HeadOptions = HeadOptions()
    output: OutputOptions = OutputOptions()
    fine_tuning: FineTuningOptions = FineTuningOptions()
    bottleneck_dir: Path = dataclasses.field(kw_only=True)
    shards: str | None = None
    backbone: BackboneOptions = BackboneOptions()
    engine: str = "auto"
    strict: bool = False
    test_batch_size: int = -1
    print_misclassified_test_images: bool = False
    command_line: tuple[str, ...] = ()
    folds: int = 0
    architectures: tuple[str, ...] = ()
    select_architecture: str = SMALLEST
    baseline: BaselineOptions = BaselineOptions()

    @property
    def cross_validation_folds(self) -> int:
        """Number of folds of the cross-validation; 0 for none."""
        if self.distortions.fresh:
            return 0  # There are no cached features.
        return self.folds or (DEFAULT_FOLDS if self.output.shows_cross_validation else 0)

    @property
    def fine_tuning_distortions(self) -> DistortionOptions:
        """How images are augmented for fine-tuning."""
        return self.distortions if self.distortions.any else self.fine_tuning.distortions

    def provenance(self) -> dict[str, object]:
        """Returns the options that affected the training, by name, for metadata and reports."""
        head = dataclasses.asdict(self.head)
        if self.head.solver != "sgd":
            head = {name: head[name] for name in ("solver", "class_weights", "calibrate", "seed")}
        head["class_weights"] = self.head.effective_class_weights
        provenance: dict[str, object] = {**head, "distortions": {"per_image": 0}}
        if self.distortions.any:
            provenance["distortions"] = dataclasses.asdict(self.distortions)
        if self.fine_tuning.epochs:
            distortions = dataclasses.asdict(self.fine_tuning_distortions)
            # Fine-tuning makes new variants in every epoch, which `HeadOptions.seed` determines.
            del distortions["per_image"], distortions["seed"]
            provenance["fine_tuning"] = {
                **dataclasses.asdict(self.fine_tuning),
                "distortions": distortions,
            }
        return provenance

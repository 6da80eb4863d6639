"""Everything that a training run can be told, and what it does where it is told nothing.

No other module writes down a default; mains read theirs from here.
"""

import dataclasses
from pathlib import Path

# Of a pretrained network.
ALL_LAYERS = -1


@dataclasses.dataclass(frozen=True)
class SplitOptions:
    """How the images are divided into parts for training, validation and test.

    Attributes:
        validation_percentage: of the images in the image folder, 0 to 100.
        testing_percentage: of the images in the image folder, 0 to 100.
        split_by: "name" hashes folder and file name; "path" hashes the whole path, as the original
            did, and so gives another split when the folder moves or is typed differently.
        typed_image_dir: the image folder as the user typed it, which "path" hashes.
        validation_dir: a folder with the same classes; where given, its images are the
            validation part, and no others.
        test_dir: the same, for the test part.
    """

    validation_percentage: float = 10
    testing_percentage: float = 10
    split_by: str = "name"
    typed_image_dir: str = ""
    validation_dir: Path | None = None
    test_dir: Path | None = None


@dataclasses.dataclass(frozen=True)
class DistortionOptions:
    """How training images are varied; the names and meanings are the original's.

    Attributes:
        random_crop: how much of a margin to crop at a random place, in percent of the result.
        random_scale: how much larger, at most, an image is drawn, in percent.
        random_brightness: how much brighter or darker, at most, in percent.
        flip_left_right: whether half of the variants are mirrored.
        per_image: variants of each image beside the image itself, which stay the same
            throughout; 0 makes new ones for every training step, as the original does.
        seed: of what is random.
    """

    random_crop: float = 0
    random_scale: float = 0
    random_brightness: float = 0
    flip_left_right: bool = False
    per_image: int = 8
    seed: int = 0

    @property
    def any(self) -> bool:
        """Whether images are varied at all."""
        return bool(
            self.random_crop or self.random_scale or self.random_brightness or self.flip_left_right
        )

    @property
    def cached(self) -> int:
        """Variants of each image that are kept, beside the image itself."""
        return self.per_image if self.any else 0

    @property
    def fresh(self) -> bool:
        """Whether every training step makes its own variants."""
        return self.any and not self.per_image


@dataclasses.dataclass(frozen=True)
class HeadOptions:
    """How the last layer is trained.

    Attributes:
        solver: "logistic_regression", or "sgd", the original's gradient descent.
        class_weights: how much each class counts; see `class_weights.shares`.
        calibrate: whether scores are made to mean what they say. The other fields are for "sgd";
            their names, meanings and values are the original's.
        steps: how often the weights are adjusted.
        learning_rate: how far in each step.
        train_batch_size: images in a step, drawn evenly from all classes; -1 takes all.
        validation_batch_size: images in each look at the validation part; -1 takes all.
        eval_step_interval: steps from one look at the accuracies to the next.
        seed: of the first weights and of the draw.
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


@dataclasses.dataclass(frozen=True)
class FineTuningOptions:
    """How the pretrained network itself learns from the training images.

    Attributes:
        epochs: how often from all of them; 0 leaves it as it is.
        layers: how many of its last layers with weights learn; ALL_LAYERS for all.
        batch_size: images in a step.
        learning_rate: the largest; it grows to that and then falls to 0.
        warm_up: in which part of all steps it grows, 0 to 1.
        weight_decay: by which weights shrink in a step, times the learning rate.
        label_smoothing: how much of the truth is spread over all labels, 0 to below 1.
        distortions: of the images, where the user does not say how to distort them. None is
            mirrored: a hand or a letter would become another.
    """

    epochs: int = 0
    layers: int = ALL_LAYERS
    batch_size: int = 32
    learning_rate: float = 2e-4
    warm_up: float = 0.1
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    distortions: DistortionOptions = DistortionOptions(
        random_crop=15, random_scale=30, random_brightness=20
    )


@dataclasses.dataclass(frozen=True)
class BackboneOptions:
    """Which pretrained network.

    Attributes:
        architecture: its name.
        weights: a file of Keras's with its weights, in place of the published ones.
        tfhub_module: where a module with it is, in place of a name.
        model_dir: where a frozen graph with it is, in place of a name. The others are for these
            two, and None where the file says it, or where it is of a kind that is known.
        input_layer: the tensor in the graph that takes normalised pixels.
        bottleneck_layer: the tensor in the graph that the bottlenecks come from.
        input_height: of the images, in pixels.
        input_width: of the images, in pixels.
        input_mean: of each channel, in units of 0 to 255; subtracted first.
        input_std: of each channel; what is divided by then.
    """

    architecture: str = "efficientnet_lite0"
    weights: Path | None = None
    tfhub_module: str | None = None
    model_dir: Path | None = None
    input_layer: str | None = None
    bottleneck_layer: str | None = None
    input_height: int | None = None
    input_width: int | None = None
    input_mean: tuple[float, float, float] | None = None
    input_std: tuple[float, float, float] | None = None

    @property
    def name(self) -> str:
        """How the user named it, without what may be secret in an address."""
        if self.tfhub_module:
            return self.tfhub_module.partition("?")[0]
        return str(self.model_dir or self.architecture)


@dataclasses.dataclass(frozen=True)
class TFLiteOptions:
    """What kind of TFLite file.

    Attributes:
        quantization: "none"; "float16" or "dynamic", which store the backbone's weights in sixteen
            or eight bits, and calculate with floating point; or "int8", which has nothing but
            integers.
        input_type: "uint8" takes RGB pixels as they are, 0 to 255; "float32" takes them normalised
            as the metadata in the file say.
    """

    quantization: str = "none"
    input_type: str = "uint8"


@dataclasses.dataclass(frozen=True)
class CoreMLOptions:
    """What kind of Core ML file, and what it says of itself in Xcode.

    Attributes:
        precision: "float16" or "float32". The first takes half the space; an ML Program calculates
            with it, too, as Apple's Neural Engine does.
        input_name: of the image; apps that do not use Vision know it.
        probabilities_name: of the dictionary from labels to probabilities.
        author: who made it.
        license: what others may do with it.
        version: of the model.
        description: what it is for; None has the labels and the accuracy.
        input_description: of the image; None has its size and colours.
        label_description: of the label that fits best.
        probabilities_description: of the dictionary.
    """

    precision: str = "float16"
    input_name: str = "image"
    probabilities_name: str = "probabilities"
    author: str = ""
    license: str = ""
    version: str = "1.0"
    description: str | None = None
    input_description: str | None = None
    label_description: str = "The label that fits best."
    probabilities_description: str = "The probability of each label, 0 to 1."


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """What is written, and where; None leaves it out.

    Attributes:
        output_graph: the classifier, a frozen graph.
        output_labels: its labels, one a line.
        saved_model_dir: the classifier as a SavedModel.
        keras_file: the classifier for Keras.
        tflite_file: the classifier for phones.
        tflite: which kind of it.
        coreml_file: the classifier for apps on Apple's systems.
        coreml: which kind of it, and what it says of itself.
        min_agreement: which part of the images each of these files must label as the tested
            classifier does, 0 to 1; else none of them is written.
        assert_accuracy_at_least: how good the classifier must be on the test part, 0 to 1, for any
            of these files to be written; None writes them in any case.
        metrics_json: all numbers of the run.
        summaries_dir: holds a folder for TensorBoard from each run.
        plots_dir: holds plots of the run.
        intermediate_output_graphs_dir: where classifiers go that are not trained to the end.
        intermediate_store_frequency: steps from one of them to the next; 0 writes none.
        final_tensor_name: of the output in the graph.
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
    summaries_dir: Path | None = Path("/tmp/retrain_logs")
    plots_dir: Path | None = None
    intermediate_output_graphs_dir: Path = Path("/tmp/intermediate_graph")
    intermediate_store_frequency: int = 0
    final_tensor_name: str = "final_result"


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """One run.

    Attributes:
        image_dir: holds a folder of images for each class.
        split: of the images.
        distortions: of the training images.
        head: its training.
        output: its results.
        fine_tuning: of the pretrained network.
        bottleneck_dir: holds the cache.
        backbone: the pretrained network.
        engine: name of the program that runs it.
        strict: whether an image that cannot be read ends the run.
        test_batch_size: how many images of the test part are used; -1 takes all.
        print_misclassified_test_images: whether to name the images that got a wrong label.
    """

    image_dir: Path
    split: SplitOptions = SplitOptions()
    distortions: DistortionOptions = DistortionOptions()
    head: HeadOptions = HeadOptions()
    output: OutputOptions = OutputOptions()
    fine_tuning: FineTuningOptions = FineTuningOptions()
    bottleneck_dir: Path = Path("/tmp/bottleneck")
    backbone: BackboneOptions = BackboneOptions()
    engine: str = "auto"
    strict: bool = False
    test_batch_size: int = -1
    print_misclassified_test_images: bool = False

    @property
    def fine_tuning_distortions(self) -> DistortionOptions:
        """How images are varied that the pretrained network itself learns from."""
        return self.distortions if self.distortions.any else self.fine_tuning.distortions

    def used(self) -> dict[str, object]:
        """Returns what decided how the head was trained, by name; nothing that had no part in it.

        It is what classifiers and reports say of themselves.
        """
        head = dataclasses.asdict(self.head)
        if self.head.solver != "sgd":
            head = {name: head[name] for name in ("solver", "class_weights", "calibrate", "seed")}
        elif self.head.train_batch_size == -1:
            # Every step takes each image once, so that classes weigh what they have.
            head["class_weights"] = "by_pictures"
        used: dict[str, object] = {**head, "distortions": {"per_image": 0}}
        if self.distortions.any:
            used["distortions"] = dataclasses.asdict(self.distortions)
        if self.fine_tuning.epochs:
            distortions = dataclasses.asdict(self.fine_tuning_distortions)
            # New ones are made in every epoch, which `seed` decides.
            del distortions["per_image"], distortions["seed"]
            used["fine_tuning"] = {
                **dataclasses.asdict(self.fine_tuning),
                "distortions": distortions,
            }
        return used

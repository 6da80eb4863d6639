"""The configuration of a training run, with its defaults.

All defaults are here, in `training_options` and in `output_options`; main programs take the
defaults of their flags from these modules.
"""

import dataclasses
from pathlib import Path

from retrain.output_options import OutputOptions
from retrain.training_options import DistortionOptions, FineTuningOptions, HeadOptions

# Values of `SplitOptions.group_by`.
NEAR_DUPLICATES = "near_duplicates"
FOLDER = "folder"
PREFIX = "prefix"
UNGROUPED = "none"

# Values of `TrainingConfig.select_architecture`.
SMALLEST = "smallest"
MOST_ACCURATE = "most_accurate"

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
        uses_stages: Whether the features include those of earlier stages.
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
    uses_stages: bool = True

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
    distortions: DistortionOptions = dataclasses.field(default_factory=DistortionOptions)
    head: HeadOptions = dataclasses.field(default_factory=HeadOptions)
    output: OutputOptions = dataclasses.field(default_factory=OutputOptions)
    fine_tuning: FineTuningOptions = dataclasses.field(default_factory=FineTuningOptions)
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
    def backbones(self) -> tuple[BackboneOptions, ...]:
        """Options of the pretrained network, or of each one that the run is to compare."""
        return tuple(
            dataclasses.replace(
                self.backbone,
                architecture=name,
                # The SGD solver does not standardise features, and those of several stages differ
                # in scale. TensorFlow's script used those of the last layer, too.
                uses_stages=self.head.solver != "sgd",
            )
            for name in self.architectures or (self.backbone.architecture,)
        )

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

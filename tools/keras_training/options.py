"""The options of a training, with their default values."""

import dataclasses
from pathlib import Path

from retrain.metadata import STRETCH

ADAM, SGD = "adam", "sgd"
CONSTANT, COSINE = "constant", "cosine"


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes to the training images, different in every epoch.

    Attributes:
        random_shift: Maximum shift in percent of the height and width, 0 to 100.
        random_rotation: Maximum rotation in degrees in either direction, 0 to 180.
        random_scale: Maximum enlargement or reduction in percent, 0 to 100.
        random_brightness: Maximum change of the brightness in percent, 0 to 100.
        flip_left_right: Whether half of the images are mirrored.
    """

    random_shift: float = 0
    random_rotation: float = 0
    random_scale: float = 0
    random_brightness: float = 0
    flip_left_right: bool = False

    @property
    def is_enabled(self) -> bool:
        """Whether images are changed at all."""
        return self != Augmentation()


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a training.

    The names of most fields are keys in `run.json` and in the metadata of the classifier.

    Attributes:
        train_dir: Folder with a sub-folder of training images for each class, or an `.npz` file.
        architecture: Name of a network in `small_networks`, or of a pretrained network.
        output_dir: Folder for all files that the training writes.
        val_dir: Folder like `train_dir` with the validation images; None for an `.npz` file, which
            contains both.
        epochs: Number of passes over the training images.
        batch_size: Images per step; None for the default of the network.
        greyscale: Whether the network sees images without colours.
        height: Height of the input images in pixels; None for the default of the network.
        width: Width of the input images in pixels; None for the default of the network.
        fit: How images of another aspect ratio are resized, one of `retrain.metadata.FITS`.
        dropout: Dropout rate, 0 to below 1; None for the default of the network.
        fine_tune_layers: Number of last layers of a pretrained network that are trained besides
            the new layer; `training_options.ALL_LAYERS` for all.
        optimizer: ADAM or SGD.
        learning_rate: Learning rate of the first step.
        momentum: Momentum of SGD, 0 to below 1; None for 0.9.
        schedule: Learning rate schedule: CONSTANT, or COSINE, which decays to 0.
        label_smoothing: Label smoothing, 0 to below 1.
        patience: Number of epochs without a smaller validation loss after which the training
            stops; 0 never stops it.
        class_weights: Weights of the classes; see `retrain.training.class_weights`.
        mixed_precision: Whether convolutions run in bfloat16.
        augmentation: Random changes to the training images.
        weights: File with the weights of a pretrained network; None for the published weights.
        bottleneck_dir: Folder of the bottleneck cache.
        engine: Engine that computes bottlenecks; see `retrain.backbones.engines`.
        seed: Seed of all random choices, 0 to 2**32 - 1.
        resume: Whether to continue the run in `output_dir`.
    """

    train_dir: Path
    architecture: str
    output_dir: Path
    _: dataclasses.KW_ONLY
    bottleneck_dir: Path
    val_dir: Path | None = None
    epochs: int = 20
    batch_size: int | None = None
    greyscale: bool = False
    height: int | None = None
    width: int | None = None
    fit: str = STRETCH
    dropout: float | None = None
    fine_tune_layers: int = 0
    optimizer: str = ADAM
    learning_rate: float = 0.001
    momentum: float | None = None
    schedule: str = CONSTANT
    label_smoothing: float = 0
    patience: int = 0
    class_weights: str = "by_pictures"
    mixed_precision: bool = False
    augmentation: Augmentation = Augmentation()
    weights: Path | None = None
    engine: str = "auto"
    seed: int = 0
    resume: bool = False

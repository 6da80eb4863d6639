"""Everything that a training with Keras can be told, and what it does where it is told nothing."""

import dataclasses
from pathlib import Path

ADAM, SGD = "adam", "sgd"
CONSTANT, COSINE = "constant", "cosine"


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How training images are varied, anew in every epoch.

    Attributes:
        random_shift: how far at most, in percent of height and width.
        random_rotation: how far at most, in degrees, either way.
        random_scale: how much larger or smaller at most, in percent.
        random_brightness: how much brighter or darker at most, in percent.
        flip_left_right: whether half of them are mirrored.
    """

    random_shift: float = 0
    random_rotation: float = 0
    random_scale: float = 0
    random_brightness: float = 0
    flip_left_right: bool = False

    @property
    def any(self) -> bool:
        """Whether images are varied at all."""
        return self != Augmentation()


@dataclasses.dataclass(frozen=True)
class Options:
    """One training.

    Attributes:
        train_dir: holds a folder of images for each class, or is an `.npz` file.
        architecture: name of one of `networks` or of a pretrained network.
        output_dir: where everything is written.
        val_dir: as `train_dir`, to be judged by; None for an `.npz` file, which has both.
        epochs: how often all training images are learned from.
        batch_size: images in a step; None for what is usual for the network.
        greyscale: whether the network sees no colours.
        height: of the images that the network takes; None for what is usual for it.
        width: the same.
        dropout: the part that is dropped, 0 to below 1; None for what is usual for the network.
        fine_tune_layers: how many of the last layers of a pretrained network learn, besides the new
            one; `config.ALL_LAYERS` for all.
        optimizer: ADAM or SGD.
        learning_rate: at the beginning.
        momentum: of SGD; None for 0.9.
        schedule: CONSTANT, or COSINE, which ends at 0.
        label_smoothing: how much of the truth is spread over all labels, 0 to below 1.
        patience: epochs without a smaller validation loss after which the training ends; 0 never
            ends it.
        class_weights: how much each class counts; see `retrain.class_weights.shares`.
        mixed_precision: whether convolutions are calculated in bfloat16.
        augmentation: of the training images.
        weights: a file with those of a pretrained network.
        bottleneck_dir: holds the cache.
        engine: what computes bottlenecks.
        seed: of all that is random.
        resume: whether to go on where the last run with the same `output_dir` ended.
    """

    train_dir: Path
    architecture: str
    output_dir: Path
    val_dir: Path | None = None
    epochs: int = 20
    batch_size: int | None = None
    greyscale: bool = False
    height: int | None = None
    width: int | None = None
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
    bottleneck_dir: Path = Path("/tmp/bottleneck")
    engine: str = "auto"
    seed: int = 0
    resume: bool = False

"""Trains a classifier with Keras, from pixels.

    bazel run //tools:train_keras -- --train_dir=T --val_dir=V --architecture=A --output_dir=D

T and V have a sub-folder of images for each class; the network learns from T and is judged by
V. T can also be a file of arrays such as mnist.npz, which has both. Two small networks are trained
from scratch; pretrained ones get a new last layer, and as many of their own learn, too, as
--fine_tune_layers says. Where none does and no image is varied, bottlenecks are cached, and an
epoch takes no time. D gets the best network, as .keras and as model.json with model.weights.h5,
its labels, plots of how it went, and logs for TensorBoard.
"""

import math

from absl import flags

from retrain.config import ALL_LAYERS
from retrain.errors import UserError
from retrain.system import command_line
from retrain.system.files import user_path
from retrain.training import class_weights
from tools.keras_training import options as choices
from tools.keras_training.networks import NETWORKS
from tools.keras_training.options import Augmentation, Options

# A step with larger images would not fit into the memory of any machine.
_LARGEST_SIDE = 2048

_TRAIN_DIR = flags.DEFINE_string(
    "train_dir",
    None,
    "Folder with a sub-folder of images for each class, or an .npz file with x_train, "
    "y_train, x_test and y_test. Required.",
)
_VAL_DIR = flags.DEFINE_string(
    "val_dir", None, "Folder with the same sub-folders, to judge the network by. Required."
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "A new folder for everything that is written. Required."
)
_ARCHITECTURE = flags.DEFINE_string(
    "architecture",
    None,
    f"The network: {', '.join(NETWORKS)} learn from scratch, the --architecture names of //retrain "
    "are pretrained. Required.",
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "File with the weights for a pretrained one that Keras wrote."
)
_EPOCHS = flags.DEFINE_integer(
    "epochs", Options.epochs, "How often to learn from all images.", lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    None,
    "Images in a step; by default 128 from scratch, 32 for pretrained networks.",
    lower_bound=1,
)
_GREYSCALE = flags.DEFINE_boolean(
    "greyscale", Options.greyscale, "Learn without colours, from scratch only."
)
_HEIGHT = flags.DEFINE_integer(
    "height",
    None,
    "Of the network's images, in pixels; by default what is usual for it.",
    1,
    _LARGEST_SIDE,
)
_WIDTH = flags.DEFINE_integer("width", None, "The same.", 1, _LARGEST_SIDE)
_DROPOUT = flags.DEFINE_float(
    "dropout",
    None,
    "The part that is dropped in training, from 0 to below 1; by default what is usual for the "
    "network.",
)
_FINE_TUNE_LAYERS = flags.DEFINE_integer(
    "fine_tune_layers",
    Options.fine_tune_layers,
    f"How many of a pretrained network's last layers learn, too; {ALL_LAYERS} for all.",
    lower_bound=ALL_LAYERS,
)
_OPTIMIZER = flags.DEFINE_enum(
    "optimizer", Options.optimizer, [choices.ADAM, choices.SGD], "How to learn."
)
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", Options.learning_rate, "How far to go in a step, at the beginning."
)
_MOMENTUM = flags.DEFINE_float(
    "momentum", None, "Of sgd, from 0 to below 1: how long it keeps a direction; 0.9 is usual."
)
_SCHEDULE = flags.DEFINE_enum(
    "learning_rate_schedule",
    Options.schedule,
    [choices.CONSTANT, choices.COSINE],
    "How the learning rate goes on: cosine makes it smaller to the end, where it is 0.",
)
_LABEL_SMOOTHING = flags.DEFINE_float(
    "label_smoothing",
    Options.label_smoothing,
    "Which part of the truth is spread over all labels, from 0 to below 1.",
)
_PATIENCE = flags.DEFINE_integer(
    "patience",
    Options.patience,
    "Stop after so many epochs without a smaller validation loss; 0 never stops.",
    lower_bound=0,
)
_CLASS_WEIGHTS = flags.DEFINE_string(
    "class_weights",
    Options.class_weights,
    "How much each class counts: by_pictures, as many images as it has; balanced, all the "
    "same; or label=number,..., so many times what the others count.",
)
_MIXED_PRECISION = flags.DEFINE_boolean(
    "mixed_precision",
    Options.mixed_precision,
    "Calculate convolutions in bfloat16, which is faster on processors that have it.",
)
_RANDOM_SHIFT = flags.DEFINE_float(
    "random_shift",
    Augmentation.random_shift,
    "Learn from training images moved at random, by so many percent of their size at most.",
)
_RANDOM_ROTATION = flags.DEFINE_float(
    "random_rotation",
    Augmentation.random_rotation,
    "Learn from training images turned at random, by so many degrees at most.",
)
_RANDOM_SCALE = flags.DEFINE_float(
    "random_scale",
    Augmentation.random_scale,
    "Learn from training images made larger or smaller at random, by so many percent at most.",
)
_RANDOM_BRIGHTNESS = flags.DEFINE_float(
    "random_brightness",
    Augmentation.random_brightness,
    "Learn from training images made brighter or darker, by so many percent at most.",
)
_FLIP_LEFT_RIGHT = flags.DEFINE_boolean(
    "flip_left_right", Augmentation.flip_left_right, "Mirror half of the training images."
)
_BOTTLENECK_DIR = flags.DEFINE_string(
    "bottleneck_dir", str(Options.bottleneck_dir), "Folder of the cache, as for //retrain."
)
_ENGINE = flags.DEFINE_string(
    "engine", Options.engine, "What computes bottlenecks, as for //retrain; int8 is not for this."
)
_SEED = flags.DEFINE_integer(
    "seed",
    Options.seed,
    "Of all random choices: the same command gives the same network.",
    lower_bound=0,
    # Keras takes no larger one.
    upper_bound=2**32 - 1,
)
_RESUME = flags.DEFINE_boolean(
    "resume",
    Options.resume,
    "Go on after the last whole epoch of the run in --output_dir, as if it had never stopped; "
    "begin where there is none.",
)


def main(arguments: list[str]) -> None:
    """Trains a classifier as the flags say."""
    if arguments:
        raise UserError(
            f"no arguments besides flags are known, but got {arguments[0]}; --train_dir=DIR names "
            "the folder of images"
        )
    options = _options()
    # What it imports must not keep --help or a wrong flag waiting.
    from tools.keras_training import training

    training.run(options)


def _options() -> Options:
    class_weights.check(_CLASS_WEIGHTS.value)
    if not 0 < _LEARNING_RATE.value < math.inf:
        raise UserError(
            f"--learning_rate must be more than 0, not {_LEARNING_RATE.value}; "
            f"{Options.learning_rate} is usual"
        )
    return Options(
        train_dir=user_path(_needed(_TRAIN_DIR)),
        val_dir=user_path(_VAL_DIR.value) if _VAL_DIR.value else None,
        architecture=_ARCHITECTURE.value or "",
        output_dir=user_path(_needed(_OUTPUT_DIR)),
        epochs=_EPOCHS.value,
        batch_size=_BATCH_SIZE.value,
        greyscale=_GREYSCALE.value,
        height=_HEIGHT.value,
        width=_WIDTH.value,
        dropout=None if _DROPOUT.value is None else _part(_DROPOUT.name, _DROPOUT.value),
        fine_tune_layers=_FINE_TUNE_LAYERS.value,
        optimizer=_OPTIMIZER.value,
        learning_rate=_LEARNING_RATE.value,
        momentum=None if _MOMENTUM.value is None else _part(_MOMENTUM.name, _MOMENTUM.value),
        schedule=_SCHEDULE.value,
        label_smoothing=_part(_LABEL_SMOOTHING.name, _LABEL_SMOOTHING.value),
        patience=_PATIENCE.value,
        class_weights=_CLASS_WEIGHTS.value,
        mixed_precision=_MIXED_PRECISION.value,
        augmentation=Augmentation(
            random_shift=_at_most(_RANDOM_SHIFT, 100),
            random_rotation=_at_most(_RANDOM_ROTATION, 180),
            random_scale=_at_most(_RANDOM_SCALE, 100),
            random_brightness=_at_most(_RANDOM_BRIGHTNESS, 100),
            flip_left_right=_FLIP_LEFT_RIGHT.value,
        ),
        weights=user_path(_WEIGHTS.value) if _WEIGHTS.value else None,
        bottleneck_dir=user_path(_BOTTLENECK_DIR.value),
        engine=_ENGINE.value,
        seed=_SEED.value,
        resume=_RESUME.value,
    )


def _needed(flag: flags.FlagHolder[str | None]) -> str:
    if not flag.value:
        raise UserError(f"--{flag.name} is needed; --help says what it is")
    return flag.value


def _part(flag: str, value: float) -> float:
    if 0 <= value < 1:
        return value
    raise UserError(f"--{flag} must be from 0 to below 1, not {value:g}")


def _at_most(flag: flags.FlagHolder[float], most: float) -> float:
    if 0 <= flag.value <= most:
        return flag.value
    raise UserError(f"--{flag.name} must be from 0 to {most:g}, not {flag.value:g}")


if __name__ == "__main__":
    command_line.run(
        main,
        __doc__,
        when_interrupted="interrupted; the same command with --resume goes on after the last epoch",
    )

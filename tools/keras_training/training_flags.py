"""The flags of //tools:train_keras."""

import math

from absl import flags

from retrain.errors import UserError
from retrain.flags import values
from retrain.metadata import FITS
from retrain.system.files.user_paths import user_path
from retrain.system.program.path_flags import optional_path
from retrain.training import class_weights
from retrain.training_options import ALL_LAYERS
from tools.keras_training.options import ADAM, CONSTANT, COSINE, SGD, Augmentation, Options
from tools.keras_training.small_networks import SMALL_NETWORKS

# A batch of larger images would not fit into memory.
_MAX_SIDE = 2048

_TRAIN_DIR = flags.DEFINE_string(
    "train_dir",
    None,
    "Folder with a sub-folder of training images for each class, or an .npz file with the arrays "
    "x_train, y_train, x_test and y_test. Required.",
)
_VAL_DIR = flags.DEFINE_string(
    "val_dir",
    None,
    "Folder with validation images, in sub-folders named as in --train_dir. Required unless "
    "--train_dir is an .npz file.",
)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "New folder for all output files. Required.")
_ARCHITECTURE = flags.DEFINE_string(
    "architecture",
    None,
    f"Network to train: {' or '.join(SMALL_NETWORKS)} from scratch, or a pretrained --architecture "
    "of //retrain. Required.",
)
_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "File with Keras weights for a pretrained network, to use instead of a download.",
)
_EPOCHS = flags.DEFINE_integer(
    "epochs", Options.epochs, "Number of passes over the training images.", lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    None,
    "Number of images per step. Defaults to 128 for networks from scratch, and to 32 for "
    "pretrained networks.",
    lower_bound=1,
)
_GREYSCALE = flags.DEFINE_boolean(
    "greyscale",
    Options.greyscale,
    "Whether to convert images to grey, for networks from scratch.",
)
_HEIGHT = flags.DEFINE_integer(
    "height",
    None,
    "Height of the input images in pixels. Defaults to 28 for networks from scratch; pretrained "
    "networks have a fixed height.",
    lower_bound=1,
    upper_bound=_MAX_SIDE,
)
_WIDTH = flags.DEFINE_integer(
    "width",
    None,
    "Width of the input images in pixels. Defaults to 28 for networks from scratch; pretrained "
    "networks have a fixed width.",
    lower_bound=1,
    upper_bound=_MAX_SIDE,
)
_FIT = flags.DEFINE_enum(
    "fit",
    Options.fit,
    FITS,
    "How images whose aspect ratio is not that of the network's input are resized: stretch ignores "
    "the aspect ratio; crop uses only the centre of an image; pad adds black bars.",
)
_DROPOUT = flags.DEFINE_float(
    "dropout",
    None,
    "Dropout rate, from 0 to below 1. Defaults to the author's rates for networks from scratch, "
    "and to 0.2 for pretrained networks.",
)
_FINE_TUNE_LAYERS = flags.DEFINE_integer(
    "fine_tune_layers",
    Options.fine_tune_layers,
    "Number of last layers with weights of a pretrained network to train besides the new output "
    f"layer, or {ALL_LAYERS} for all. Batch normalisation layers do not count and stay unchanged.",
    lower_bound=ALL_LAYERS,
)
_OPTIMIZER = flags.DEFINE_enum("optimizer", Options.optimizer, [ADAM, SGD], "Keras optimizer.")
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", Options.learning_rate, "Learning rate at the start of the training."
)
_MOMENTUM = flags.DEFINE_float(
    "momentum", None, "Momentum of sgd, from 0 to below 1. Defaults to 0.9."
)
_SCHEDULE = flags.DEFINE_enum(
    "learning_rate_schedule",
    Options.schedule,
    [CONSTANT, COSINE],
    "Schedule of the learning rate. cosine decays it to 0 at the end of the last epoch.",
)
_LABEL_SMOOTHING = flags.DEFINE_float(
    "label_smoothing",
    Options.label_smoothing,
    "Label smoothing, from 0 to below 1: the fraction of each target that is spread over all "
    "labels.",
)
_PATIENCE = flags.DEFINE_integer(
    "patience",
    Options.patience,
    "Number of epochs without a smaller validation loss after which training stops. 0 disables "
    "early stopping.",
    lower_bound=0,
)
_CLASS_WEIGHTS = flags.DEFINE_string(
    "class_weights",
    Options.class_weights,
    "Weights of the classes in training: balanced, for the same weight for each class; "
    "by_pictures, for weights proportional to the numbers of images; or label=number,..., for "
    "multiples of the weight of the other classes.",
)
_MIXED_PRECISION = flags.DEFINE_boolean(
    "mixed_precision",
    Options.mixed_precision,
    "Whether to run convolutions in bfloat16, which is faster on processors that support it.",
)
_RANDOM_SHIFT = flags.DEFINE_float(
    "random_shift",
    Augmentation.random_shift,
    "Maximum random shift of the training images in percent of their size.",
    lower_bound=0,
    upper_bound=100,
)
_RANDOM_ROTATION = flags.DEFINE_float(
    "random_rotation",
    Augmentation.random_rotation,
    "Maximum random rotation of the training images in degrees.",
    lower_bound=0,
    upper_bound=180,
)
_RANDOM_SCALE = flags.DEFINE_float(
    "random_scale",
    Augmentation.random_scale,
    "Maximum random enlargement or reduction of the training images in percent.",
    lower_bound=0,
    upper_bound=100,
)
_RANDOM_BRIGHTNESS = flags.DEFINE_float(
    "random_brightness",
    Augmentation.random_brightness,
    "Maximum random change of the brightness of the training images in percent.",
    lower_bound=0,
    upper_bound=100,
)
_FLIP_LEFT_RIGHT = flags.DEFINE_boolean(
    "flip_left_right",
    Augmentation.flip_left_right,
    "Whether to mirror a random half of the training images.",
)
_BOTTLENECK_DIR = flags.DEFINE_string(
    "bottleneck_dir",
    None,
    "Folder of the bottleneck cache, which //retrain can also use. The default is the same as for "
    "//retrain.",
)
_ENGINE = flags.DEFINE_string(
    "engine",
    Options.engine,
    "Engine that computes bottlenecks, as for //retrain, except int8.",
)
_SEED = flags.DEFINE_integer(
    "seed",
    Options.seed,
    "Random seed. The same command with the same seed produces the same network.",
    lower_bound=0,
    # The largest seed that Keras accepts.
    upper_bound=2**32 - 1,
)
_RESUME = flags.DEFINE_boolean(
    "resume",
    Options.resume,
    "Whether to continue the run in --output_dir after its last finished epoch, with the same "
    "result as without an interruption. Starts a new run if the folder is empty.",
)


def parse_options() -> Options:
    """Returns the options of the training.

    Raises:
        UserError: If a flag is missing or out of range.
    """
    class_weights.check(_CLASS_WEIGHTS.value)
    if not 0 < _LEARNING_RATE.value < math.inf:
        raise UserError(
            f"--learning_rate={_LEARNING_RATE.value} must be more than 0; "
            f"{Options.learning_rate} is usual"
        )
    return Options(
        train_dir=user_path(values.required(_TRAIN_DIR)),
        val_dir=optional_path(_VAL_DIR),
        architecture=_ARCHITECTURE.value or "",
        output_dir=user_path(values.required(_OUTPUT_DIR)),
        epochs=_EPOCHS.value,
        batch_size=_BATCH_SIZE.value,
        greyscale=_GREYSCALE.value,
        height=_HEIGHT.value,
        width=_WIDTH.value,
        fit=_FIT.value,
        dropout=None if _DROPOUT.value is None else _fraction(_DROPOUT.name, _DROPOUT.value),
        fine_tune_layers=_FINE_TUNE_LAYERS.value,
        optimizer=_OPTIMIZER.value,
        learning_rate=_LEARNING_RATE.value,
        momentum=None if _MOMENTUM.value is None else _fraction(_MOMENTUM.name, _MOMENTUM.value),
        schedule=_SCHEDULE.value,
        label_smoothing=_fraction(_LABEL_SMOOTHING.name, _LABEL_SMOOTHING.value),
        patience=_PATIENCE.value,
        class_weights=_CLASS_WEIGHTS.value,
        mixed_precision=_MIXED_PRECISION.value,
        augmentation=Augmentation(
            random_shift=_RANDOM_SHIFT.value,
            random_rotation=_RANDOM_ROTATION.value,
            random_scale=_RANDOM_SCALE.value,
            random_brightness=_RANDOM_BRIGHTNESS.value,
            flip_left_right=_FLIP_LEFT_RIGHT.value,
        ),
        weights=optional_path(_WEIGHTS),
        bottleneck_dir=values.cache_folder(_BOTTLENECK_DIR),
        engine=_ENGINE.value,
        seed=_SEED.value,
        resume=_RESUME.value,
    )


def _fraction(flag: str, value: float) -> float:
    if 0 <= value < 1:
        return value
    raise UserError(f"--{flag}={value:g} must be from 0 to below 1")

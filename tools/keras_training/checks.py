"""Checks the options of a training before anything takes time."""

from retrain.backbones import engines, registry
from retrain.errors import UserError
from tools.keras_training import npz_file, small_networks
from tools.keras_training.image_folders import TRAIN_FLAG, VAL_FLAG
from tools.keras_training.options import SGD, Options
from tools.keras_training.small_networks import SMALL_NETWORKS

_ENGINES = [name for name in engines.NAMES if name != engines.INT8]


def check(options: Options) -> None:
    """Raises UserError if an option is invalid or contradicts another one."""
    _check_architecture(options)
    _check_paths(options)
    _check_engine(options)
    if options.momentum is not None and options.optimizer != SGD:
        raise UserError(
            f"--momentum={options.momentum:g} needs --optimizer={SGD}; add it, or leave --momentum "
            "out"
        )
    if is_from_scratch(options):
        _check_from_scratch(options)
    elif options.greyscale:
        raise UserError(
            f"--greyscale works only with {' and '.join(SMALL_NETWORKS)}, but got "
            f"--architecture={options.architecture}, which needs RGB images; leave one out"
        )


def is_from_scratch(options: Options) -> bool:
    """Returns whether the network starts from random weights."""
    return options.architecture in SMALL_NETWORKS


def is_npz_file(options: Options) -> bool:
    """Returns whether the images are in a file of arrays."""
    return options.train_dir.suffix == npz_file.SUFFIX and not options.train_dir.is_dir()


def uses_bottlenecks(options: Options) -> bool:
    """Returns whether the training can use cached bottlenecks instead of pixels."""
    pixels_change = options.augmentation.is_enabled or options.fine_tune_layers
    return not is_from_scratch(options) and not pixels_change


def input_size(options: Options) -> tuple[int, int]:
    """Returns the input height and width of a small network in pixels."""
    return (
        options.height or small_networks.DEFAULT_SIDE,
        options.width or small_networks.DEFAULT_SIDE,
    )


def _check_architecture(options: Options) -> None:
    name = options.architecture
    if name not in SMALL_NETWORKS and not registry.is_architecture(name):
        problem = f"={name} is not known" if name else " is required"
        names = ", ".join((*SMALL_NETWORKS, *registry.architecture_names()))
        raise UserError(f"--architecture{problem}; choose one of: {names}")


def _check_paths(options: Options) -> None:
    if not options.train_dir.exists():
        raise UserError(
            f"--train_dir={options.train_dir} does not exist; choose a folder with a sub-folder of "
            "images for each class, or an .npz file"
        )
    for flag in (TRAIN_FLAG, VAL_FLAG):
        folder = getattr(options, flag)
        if folder and folder in (options.output_dir, *options.output_dir.parents):
            raise UserError(
                f"--output_dir={options.output_dir} is inside --{flag}={folder}, where its plots "
                "would be used as images; choose a folder elsewhere"
            )
    if is_npz_file(options):
        if options.val_dir:
            raise UserError(
                f"--val_dir={options.val_dir} cannot be combined with "
                f"--train_dir={options.train_dir}, which contains validation images; leave it out"
            )
    elif options.val_dir is None:
        raise UserError(
            "--val_dir is required: a folder with the same sub-folders as --train_dir, with other "
            "images"
        )


def _check_engine(options: Options) -> None:
    if engines.resolve(options.engine) == engines.INT8:
        raise UserError(
            f"--engine={engines.INT8} cannot be used: the features of the int8 network differ from "
            f"those of the exported network; choose one of: {', '.join(_ENGINES)}"
        )
    if uses_bottlenecks(options):
        if options.mixed_precision:
            raise UserError(
                "--mixed_precision speeds up the training of convolutions, but only the new layer "
                "is trained here; leave it out, or set --fine_tune_layers"
            )
    elif options.engine != engines.AUTO:
        raise UserError(
            f"--engine={options.engine} computes bottlenecks, but this training uses pixels; leave "
            "it out"
        )


def _check_from_scratch(options: Options) -> None:
    small_networks.check_size(options.architecture, *input_size(options))
    for flag in ("weights", "fine_tune_layers"):
        value = getattr(options, flag)
        if value:
            raise UserError(
                f"--{flag}={value} needs a pretrained network, but "
                f"--architecture={options.architecture} is trained from scratch; choose one of: "
                f"{', '.join(registry.architecture_names())}"
            )

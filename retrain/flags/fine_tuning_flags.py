"""The flags that fine-tune the backbone."""

import dataclasses

from absl import flags

from retrain.errors import UserError
from retrain.training_options import ALL_LAYERS, AUTO, AUTO_FINE_TUNING, FineTuningOptions

# Heading of these flags in --help.
HEADING = "Fine-tuning"

_DEFAULTS = FineTuningOptions()
_MAX_EPOCHS = 1000

_EPOCHS = flags.DEFINE_string(
    "fine_tune_epochs",
    str(_DEFAULTS.epochs),
    "Number of epochs for which to fine-tune the pretrained network on the training images. "
    f"{AUTO}, the recommended value, stops when the validation images show no more progress; 0 "
    "leaves the network unchanged. The images are distorted in new ways, by default with "
    f"--random_crop={_DEFAULTS.distortions.random_crop:g} "
    f"--random_scale={_DEFAULTS.distortions.random_scale:g} "
    f"--random_brightness={_DEFAULTS.distortions.random_brightness:g}. The fine-tuned network is "
    "kept only if it is better on the validation images.",
)
_LAYERS = flags.DEFINE_string(
    "fine_tune_layers",
    None,
    f"Number of the network's last layers with weights to fine-tune; {ALL_LAYERS} for all; or "
    f"{AUTO} for the last stages, in which images have at most a sixteenth of their height. Batch "
    f"normalisation layers do not count and stay unchanged. The default is {AUTO} with "
    f"--fine_tune_epochs={AUTO}, and {ALL_LAYERS} with a number of epochs.",
)


def parse_options() -> FineTuningOptions:
    """Returns how to fine-tune the backbone.

    Raises:
        UserError: If a value is out of range, or there are layers but no epochs.
    """
    epochs, layers = _parse_epochs(_EPOCHS.value), _parse_layers(_LAYERS.value)
    if layers is not None and not epochs:
        raise UserError(f"--fine_tune_layers={layers} needs --fine_tune_epochs; add it")
    options = AUTO_FINE_TUNING if epochs == AUTO else _DEFAULTS
    return dataclasses.replace(
        options, epochs=epochs, layers=options.layers if layers is None else layers
    )


def _parse_epochs(text: str) -> int | str:
    if text == AUTO:
        return text
    number = _parse_int(text)
    if number is None or not 0 <= number <= _MAX_EPOCHS:
        raise UserError(
            f"--fine_tune_epochs={text} must be {AUTO}, or a number from 0 to {_MAX_EPOCHS}"
        )
    return number


def _parse_layers(text: str | None) -> int | str | None:
    if text is None or text == AUTO:
        return text
    number = _parse_int(text)
    if number is None or (number < 1 and number != ALL_LAYERS):
        raise UserError(
            f"--fine_tune_layers={text} must be a number of layers, {ALL_LAYERS} for all, or {AUTO}"
        )
    return number


def _parse_int(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None

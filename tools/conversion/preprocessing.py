"""How images become what a network takes: what its file says, or the user."""

import dataclasses

from retrain.errors import UserError
from retrain.export.coreml_conversion import BGR, GRAYSCALE, RGB
from tools.conversion.source import Pixels, Source


@dataclasses.dataclass(frozen=True)
class PixelChoices:
    """What the user says of pixels, in one of two ways; None stands for nothing.

    Attributes:
        mean: one number, or one for each channel of the network, in units of 0 to 255.
        std: the same; what is divided by then.
        image_scale: what pixels are multiplied with, as in Caffe, instead.
        red_bias: what is added to the channel then.
        green_bias: the same.
        blue_bias: the same.
        gray_bias: the same, of a network for grey images.
        is_bgr: whether blue comes first; if so, the numbers of `mean` and `std` begin with blue.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    image_scale: float | None = None
    red_bias: float | None = None
    green_bias: float | None = None
    blue_bias: float | None = None
    gray_bias: float | None = None
    is_bgr: bool | None = None


def chosen(choices: PixelChoices, source: Source) -> Pixels:
    """Returns what a network takes.

    Raises:
        UserError: nobody says it, or the user contradicts himself.
    """
    grey = source.channels == 1
    if grey and choices.is_bgr:
        raise UserError("--is_bgr does not go with a network for grey images; leave it out")
    known = source.pixels
    bgr = choices.is_bgr
    if bgr is None:
        bgr = known is not None and known.colours == BGR
    colours = GRAYSCALE if grey else BGR if bgr else RGB
    biases = (choices.red_bias, choices.green_bias, choices.blue_bias, choices.gray_bias)
    as_caffe = choices.image_scale is not None or any(bias is not None for bias in biases)
    as_ours = choices.mean is not None or choices.std is not None
    if as_caffe and as_ours:
        raise UserError(
            "--image_scale and biases say the same as --input_mean and --input_std; give the one "
            "or the other"
        )
    if as_caffe:
        return _as_caffe(choices, colours)
    if as_ours:
        mean = _for_channels("input_mean", choices.mean or (0.0,), source.channels)
        std = _for_channels("input_std", choices.std or (1.0,), source.channels)
        if 0 in std:
            raise UserError("--input_std=0 would divide by zero; give what pixels are divided by")
        return Pixels(colours, mean, std)
    if known is None:
        raise UserError(
            "nothing says how images become numbers for this network; give --input_mean and "
            "--input_std (0 and 1 where it does that itself, 0 and 255 for 0 to 1, 127.5 and 127.5 "
            "for -1 to 1), or --image_scale and --red_bias, --green_bias, --blue_bias"
        )
    return dataclasses.replace(known, colours=colours)


def _as_caffe(choices: PixelChoices, colours: str) -> Pixels:
    scale = 1.0 if choices.image_scale is None else choices.image_scale
    if scale == 0:
        raise UserError("--image_scale=0 would make all images black; leave it out for 1")
    red, green, blue = choices.red_bias, choices.green_bias, choices.blue_bias
    of_colours = {
        RGB: (red, green, blue),
        BGR: (blue, green, red),
        GRAYSCALE: (choices.gray_bias,),
    }
    used = of_colours[colours]
    if colours == GRAYSCALE and any(bias is not None for bias in (red, green, blue)):
        raise UserError("the network is for grey images; give --gray_bias, not those of colours")
    if colours != GRAYSCALE and choices.gray_bias is not None:
        raise UserError("--gray_bias is for networks for grey images; give --red_bias and others")
    # `x * scale + bias` is `(x - mean) / std`.
    return Pixels(colours, tuple(-(bias or 0.0) / scale for bias in used), (1 / scale,) * len(used))


def _for_channels(flag: str, numbers: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(numbers) not in (1, channels):
        raise UserError(
            f"--{flag} must be one number, or {channels} with commas between them, "
            f"not {len(numbers)}"
        )
    return numbers * channels if len(numbers) == 1 else numbers

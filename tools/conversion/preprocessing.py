"""Determines the channels and the normalisation of a network's input images."""

import dataclasses

from retrain.errors import UserError
from retrain.export.coreml_conversion import BGR, GRAYSCALE, RGB
from retrain.metadata import Metadata


@dataclasses.dataclass(frozen=True)
class InputFormat:
    """Channels and normalisation of the input images of a network.

    Attributes:
        channel_order: Order of the channels, RGB or BGR, or GRAYSCALE for a single channel.
        mean: Mean to subtract from each channel, in units of 0 to 255.
        std: Standard deviation to divide each channel by after that, in units of 0 to 255.
    """

    channel_order: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def unnormalised(cls, channels: int) -> "InputFormat":
        """Returns the format of a network that normalises images itself.

        Args:
            channels: Number of channels, 3 for RGB or 1 for grey images.
        """
        return cls(RGB if channels == 3 else GRAYSCALE, (0.0,) * channels, (1.0,) * channels)

    @classmethod
    def of(cls, metadata: Metadata) -> "InputFormat":
        """Returns the format of a network without preprocessing, as its metadata describes it."""
        return cls(metadata.channel_order, metadata.mean, metadata.std)


@dataclasses.dataclass(frozen=True)
class PreprocessingOptions:
    """User's description of the preprocessing, in one of two ways. None stands for unknown.

    Attributes:
        mean: Mean to subtract, in units of 0 to 255: one number, or one for each channel in the
            order of the network.
        std: Standard deviation to divide by after that, in the same form.
        image_scale: Factor to multiply all channels by, as in Caffe.
        red_bias: Number to add to the red channel after that.
        green_bias: Number to add to the green channel after that.
        blue_bias: Number to add to the blue channel after that.
        gray_bias: Number to add to the only channel of grey images after that.
        is_bgr: Whether blue is the first channel.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    image_scale: float | None = None
    red_bias: float | None = None
    green_bias: float | None = None
    blue_bias: float | None = None
    gray_bias: float | None = None
    is_bgr: bool | None = None


def resolve(options: PreprocessingOptions, channels: int, known: InputFormat | None) -> InputFormat:
    """Combines the user's options with the format that the file describes.

    Args:
        options: User's options, which override everything else.
        channels: Number of channels of the network, 3 or 1.
        known: Format that the file describes, if it does.

    Raises:
        UserError: If the normalisation is unknown, or the options contradict each other.
    """
    if channels == 1 and options.is_bgr:
        raise UserError("--is_bgr cannot be used with a network for grey images; leave it out")
    order = _channel_order(options, channels, known)
    biases = (options.red_bias, options.green_bias, options.blue_bias, options.gray_bias)
    has_scale = options.image_scale is not None or any(bias is not None for bias in biases)
    has_mean = options.mean is not None or options.std is not None
    if has_scale and has_mean:
        raise UserError(
            "--image_scale and the biases describe the same as --input_mean and --input_std; use "
            "only one of the two"
        )
    if has_scale:
        return _from_scale_and_biases(options, order)
    if has_mean:
        mean = _for_each_channel("input_mean", options.mean or (0.0,), channels)
        std = _for_each_channel("input_std", options.std or (1.0,), channels)
        if 0 in std:
            raise UserError("--input_std=0 would divide by zero; use another number")
        return InputFormat(order, mean, std)
    if known is None:
        raise UserError(
            "the normalisation of the images is unknown; set --input_mean and --input_std (0 and 1 "
            "if the network normalises images itself, 0 and 255 for 0 to 1, 127.5 and 127.5 for -1 "
            "to 1), or --image_scale and --red_bias, --green_bias, --blue_bias"
        )
    return dataclasses.replace(known, channel_order=order)


def _channel_order(options: PreprocessingOptions, channels: int, known: InputFormat | None) -> str:
    if channels == 1:
        return GRAYSCALE
    if options.is_bgr is not None:
        return BGR if options.is_bgr else RGB
    return known.channel_order if known else RGB


def _from_scale_and_biases(options: PreprocessingOptions, channel_order: str) -> InputFormat:
    scale = 1.0 if options.image_scale is None else options.image_scale
    if scale == 0:
        raise UserError("--image_scale=0 would make all images black; use another number")
    red, green, blue = options.red_bias, options.green_bias, options.blue_bias
    if channel_order == GRAYSCALE and any(bias is not None for bias in (red, green, blue)):
        raise UserError(
            "--red_bias, --green_bias and --blue_bias cannot be used with a network for grey "
            "images; use --gray_bias"
        )
    if channel_order != GRAYSCALE and options.gray_bias is not None:
        raise UserError(
            "--gray_bias cannot be used with a network for colour images; use --red_bias, "
            "--green_bias and --blue_bias"
        )
    biases = {
        RGB: (red, green, blue),
        BGR: (blue, green, red),
        GRAYSCALE: (options.gray_bias,),
    }[channel_order]
    # `x * scale + bias` is `(x - mean) / std`.
    mean = tuple(-(bias or 0.0) / scale for bias in biases)
    return InputFormat(channel_order, mean, (1 / scale,) * len(biases))


def _for_each_channel(flag: str, numbers: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(numbers) not in (1, channels):
        raise UserError(
            f"--{flag} must be one number, or {channels} with commas between them, "
            f"but got {len(numbers)}"
        )
    return numbers * channels if len(numbers) == 1 else numbers

"""Turns 8-bit pixels into the numbers that a network takes.

The results are part of every cached bottleneck: a change here that changes them needs a higher
`retrain.data.pixels.PREPROCESSING_VERSION`.
"""

import dataclasses
from typing import Any, Protocol

import numpy as np

Channels = tuple[float, float, float]


class HasPreprocessing(Protocol):
    """Anything that describes its preprocessing, such as `Metadata` or `Backbone`."""

    @property
    def mean(self) -> Channels:
        """Mean to subtract from each input channel, in units of 0 to 255."""

    @property
    def std(self) -> Channels:
        """Standard deviation to divide each channel by after that, in units of 0 to 255."""

    @property
    def channel_order(self) -> str:
        """Order of the input channels, "RGB" or "BGR"."""


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """The conversion of pixels to a network's input. By default, it divides them by 255.

    Attributes:
        mean: Mean to subtract from each input channel, in units of 0 to 255.
        std: Standard deviation to divide each channel by after that, in units of 0 to 255.
        channel_order: Order of the input channels, "RGB" or "BGR".
    """

    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (255.0, 255.0, 255.0)
    channel_order: str = "RGB"

    @classmethod
    def of(cls, source: HasPreprocessing) -> "Preprocessing":
        """Returns the preprocessing for a network with this metadata, or for this backbone."""
        return cls(source.mean, source.std, source.channel_order)

    def override(self, mean: float | None, std: float | None) -> "Preprocessing":
        """Returns a copy whose mean and std, unless None is given, are the same in all channels."""
        return dataclasses.replace(
            self,
            mean=self.mean if mean is None else (mean,) * 3,
            std=self.std if std is None else (std,) * 3,
        )

    def levels(self) -> np.ndarray:
        """Returns the values that 0 to 255 have after the normalisation, float32 [256, 3]."""
        levels = np.arange(256, dtype=np.uint8)[:, np.newaxis].repeat(3, axis=1)
        return normalise(levels, self.mean, self.std)

    def apply(self, pixels: np.ndarray, *, levels: np.ndarray | None = None) -> np.ndarray:
        """Returns the network's input, an array with the shape of `pixels`.

        Args:
            pixels: uint8 [..., width, 3], RGB, 0 to 255.
            levels: Result of `levels()` converted to the dtype of the network, [256, 3]; None for
                float32.
        """
        ordered = pixels[..., ::-1] if self.channel_order == "BGR" else pixels
        if levels is None:
            return normalise(ordered, self.mean, self.std)
        return _look_up(ordered, levels)


def normalise(pixels: np.ndarray, mean: Any, std: Any) -> np.ndarray:
    """Returns `(pixels - mean) / std` as float32, in the same shape.

    Args:
        pixels: uint8 [..., width, 3], 0 to 255.
        mean: Number, or one number per channel, in units of `pixels`.
        std: Number, or one number per channel, in units of `pixels`.
    """
    # NumPy is several times faster with rows than with pixels of three values.
    rows = pixels.reshape(*pixels.shape[:-2], -1).astype(np.float32)
    rows -= _for_rows(mean, pixels.shape[-2])
    rows /= _for_rows(std, pixels.shape[-2])
    return rows.reshape(pixels.shape)


def _for_rows(channels: Any, width: int) -> np.ndarray:
    """Returns the number of each value in a row of pixels, or one number if all are equal."""
    numbers = np.broadcast_to(np.float32(channels), 3)
    return numbers[:1] if (numbers == numbers[0]).all() else np.tile(numbers, width)


def _look_up(pixels: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Returns the level of each pixel."""
    if (levels == levels[:, :1]).all():
        return np.take(levels[:, 0], pixels)
    channels = [np.take(column, pixels[..., number]) for number, column in enumerate(levels.T)]
    return np.stack(channels, axis=-1)

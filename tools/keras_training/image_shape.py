"""The shape of a network's input images."""

from typing import NamedTuple


class ImageShape(NamedTuple):
    """Shape of the input images of a network.

    Attributes:
        height: Height in pixels.
        width: Width in pixels.
        channels: Number of channels: 1 for grey, 3 for RGB.
    """

    height: int
    width: int
    channels: int

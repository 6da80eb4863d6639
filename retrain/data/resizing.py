"""Resizes images, as step 6 in the docstring of `retrain.data.pixels` describes."""

import math

import numpy as np
from PIL import Image

from retrain.data.unreadable_image import refuse_without_memory

_FILTER = Image.Resampling.BILINEAR

Box = tuple[float, float, float, float]


def resize(
    rgb: Image.Image,
    height: int,
    width: int,
    *,
    box: Box | None = None,
) -> np.ndarray:
    """Resizes an image, or a part of it, with Pillow's bilinear filter.

    When the filter shrinks an image, it averages over all source pixels (antialiasing).

    Args:
        rgb: RGB image.
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        box: Left, upper, right and lower bound of the part to resize, in pixels of `rgb`; None for
            the whole image.

    Returns:
        uint8 [height, width, 3], RGB, 0 to 255.

    Raises:
        UnreadableImageError: If there is not enough memory.
    """
    with refuse_without_memory():
        if box:
            rgb, box = _crop(rgb, box, height, width)
        left, upper, right, lower = box or (0, 0, rgb.width, rgb.height)
        # In a single call, the order of the passes would depend on the version of Pillow.
        if right - left < width and lower - upper > height:
            columns = rgb.resize((rgb.width, height), _FILTER, (0, upper, rgb.width, lower))
            resized = columns.resize((width, height), _FILTER, (left, 0, right, height))
        else:
            rows = rgb.resize((width, rgb.height), _FILTER, (left, 0, right, rgb.height))
            resized = rows.resize((width, height), _FILTER, (0, upper, width, lower))
        return np.asarray(resized)


def _crop(rgb: Image.Image, box: Box, height: int, width: int) -> tuple[Image.Image, Box]:
    """Removes rows and columns that do not influence the resized part of an image."""
    left, upper, right, lower = box
    # The filter reaches as far as one pixel of the result, and at least one of the source.
    across = math.ceil(max(1, (right - left) / width)) + 1
    down = math.ceil(max(1, (lower - upper) / height)) + 1
    x = max(0, math.floor(left) - across)
    y = max(0, math.floor(upper) - down)
    bounds = (
        x,
        y,
        min(rgb.width, math.ceil(right) + across),
        min(rgb.height, math.ceil(lower) + down),
    )
    return rgb.crop(bounds), (left - x, upper - y, right - x, lower - y)

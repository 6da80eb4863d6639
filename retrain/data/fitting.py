"""Brings images to the aspect ratio of a network, as step 6 in `retrain.data.pixels` describes."""

import numpy as np
from PIL import Image

from retrain.data.fit_areas import cropped_area, padded_area
from retrain.data.resizing import resize
from retrain.data.unreadable_image import refuse_without_memory
from retrain.metadata import CROP, PAD, STRETCH

# Colour of the bars. Keras, TensorFlow and Apple's Vision pad with black by default.
PADDING = (0, 0, 0)


def resize_to_fit(rgb: Image.Image, height: int, width: int, *, fit: str) -> np.ndarray:
    """Resizes an image to `height` x `width`.

    Args:
        rgb: Upright RGB image.
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        fit: STRETCH to ignore the aspect ratio, CROP to remove what exceeds it in the longer
            direction, PAD to fill what is missing in the shorter one.

    Returns:
        uint8 [height, width, 3], RGB, 0 to 255.

    Raises:
        UnreadableImageError: If there is not enough memory.
    """
    with refuse_without_memory():
        if fit == CROP:
            return resize(crop(rgb, height, width), height, width)
        if fit == PAD:
            return np.asarray(_pad(rgb, height, width))
    return resize(rgb, height, width)


def adapt(rgb: Image.Image, max_height: int, max_width: int, *, fit: str) -> Image.Image:
    """Returns an image in the aspect ratio of a network, for random crops.

    Args:
        rgb: Upright RGB image.
        max_height: Height of a padded image that is not exceeded, in pixels.
        max_width: Width of a padded image that is not exceeded, in pixels.
        fit: As for `resize_to_fit`. STRETCH returns the image itself.
    """
    if fit == CROP:
        return crop(rgb, max_height, max_width)
    if fit == PAD:
        # A narrow image on a canvas of its own length would take a multiple of its memory.
        height = min(max_height, max(rgb.height, -(-rgb.width * max_height // max_width)))
        width = min(max_width, max(rgb.width, -(-rgb.height * max_width // max_height)))
        return _pad(rgb, height, width)
    assert fit == STRETCH, fit
    return rgb


def crop(rgb: Image.Image, height: int, width: int) -> Image.Image:
    """Returns the area of an image that `cropped_area` names."""
    area = cropped_area(rgb.size, height, width)
    return rgb if area[2:] == rgb.size else rgb.crop(area.box)


def _pad(rgb: Image.Image, height: int, width: int) -> Image.Image:
    area = padded_area(rgb.size, height, width)
    resized = Image.fromarray(resize(rgb, area.height, area.width))
    if area[2:] == (width, height):
        return resized
    canvas = Image.new("RGB", (width, height), PADDING)
    canvas.paste(resized, area.box)
    return canvas

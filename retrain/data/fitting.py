"""Brings images to the aspect ratio of a network, as step 6 in `retrain.data.pixels` describes.

All geometry is in whole pixels and computed with integers, so that the decoder in exported graphs
and those of other programs can take exactly the same pixels.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from retrain.data.resizing import resize
from retrain.data.unreadable_image import refuse_without_memory
from retrain.errors import UserError
from retrain.metadata import CROP, PAD, STRETCH

# Colour of the bars. Keras, TensorFlow and Apple's Vision pad with black by default.
PADDING = (0, 0, 0)

# What happens to an image of another aspect ratio, for the descriptions of exported files.
DESCRIPTIONS = {
    STRETCH: "The aspect ratio of an image is ignored when it is resized.",
    CROP: "An image of another aspect ratio is cropped to its centre.",
    PAD: "An image of another aspect ratio is centred between black bars.",
}


class Area(NamedTuple):
    """A rectangle in an image, in pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, upper, right and lower bound."""
        return (self.left, self.top, self.left + self.width, self.top + self.height)


def resolve(requested: str | None, stated: str | None, file: str) -> str:
    """Returns how a classifier's images are resized: as for its training, or else as requested.

    Args:
        requested: Value of --fit; None if it is not set.
        stated: What the metadata of the classifier state; None if it has none.
        file: The flag that names the classifier's file, with its value, for the error message.

    Raises:
        UserError: If the two contradict each other.
    """
    if requested and stated and requested != stated:
        raise UserError(
            f"--fit={requested} contradicts {file}, which was trained with --fit={stated}; leave "
            "out --fit, or choose another file"
        )
    return stated or requested or STRETCH


def cropped_area(size: tuple[int, int], height: int, width: int) -> Area:
    """Returns the largest area in the centre of an image with the aspect ratio of the result.

    Args:
        size: Width and height of the image in pixels.
        height: Height of the result in pixels.
        width: Width of the result in pixels.
    """
    own_width, own_height = size
    if own_width * height > own_height * width:
        kept = max(1, _divide(own_height * width, height))
        return Area((own_width - kept) // 2, 0, kept, own_height)
    kept = max(1, _divide(own_width * height, width))
    return Area(0, (own_height - kept) // 2, own_width, kept)


def padded_area(size: tuple[int, int], height: int, width: int) -> Area:
    """Returns the area of the result that a padded image covers, in the centre of the result.

    Args:
        size: Width and height of the image in pixels.
        height: Height of the result in pixels.
        width: Width of the result in pixels.
    """
    own_width, own_height = size
    if own_width * height > own_height * width:
        covered = max(1, _divide(own_height * width, own_width))
        return Area(0, (height - covered) // 2, width, covered)
    covered = max(1, _divide(own_width * height, own_height))
    return Area((width - covered) // 2, 0, covered, height)


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


def _divide(numerator: int, denominator: int) -> int:
    """Returns a quotient, rounded half up."""
    return (2 * numerator + denominator) // (2 * denominator)

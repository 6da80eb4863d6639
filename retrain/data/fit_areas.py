"""Computes which parts of an image and of the network's input correspond to each other.

All geometry is in whole pixels and computed with integers, so that the decoder in exported graphs
and those of other programs can take exactly the same pixels.
"""

from typing import NamedTuple


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


def _divide(numerator: int, denominator: int) -> int:
    """Returns a quotient, rounded half up."""
    return (2 * numerator + denominator) // (2 * denominator)

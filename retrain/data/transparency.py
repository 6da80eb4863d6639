"""Composites transparent images on white.

See step 4 in the docstring of `retrain.data.pixels`.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

_COLOURS = 256
_OPAQUE = 255
# An image is processed in bands of about this many pixels, because copies of all its pixels would
# take a multiple of its memory.
_BAND_PIXELS = 1 << 20

Box = tuple[int, int, int, int]


def composite(image: Image.Image) -> Image.Image:
    """Returns an RGB image on white. `image` has an alpha channel."""
    rgb = Image.new("RGB", image.size, "white")
    for box in _bands(image.size):
        band = image.crop(box).convert("RGBA")
        rgb.paste(band, box, band)
    return rgb


def composite_palette(image: Image.Image, alphas: np.ndarray) -> Image.Image:
    """Returns an RGB image on white.

    Args:
        image: Image with a palette, or a greyscale image with 8 bits, whose values are taken for
            indices of a grey palette. Its palette is changed.
        alphas: Alpha of each index, uint8 [256].
    """
    colours = np.zeros((_COLOURS, 3), np.int64)
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB") or [], np.int64).reshape(-1, 3)
        colours[: len(palette)] = palette
    else:
        colours[:] = np.arange(_COLOURS)[:, np.newaxis]
    alpha = alphas.astype(np.int64)[:, np.newaxis]
    total = colours * alpha + _OPAQUE * (_OPAQUE - alpha)
    image.putpalette(((2 * total + _OPAQUE) // (2 * _OPAQUE)).astype(np.uint8).tobytes())
    return image.convert("RGB")


def whiten(rgb: Image.Image, colour: np.ndarray, low: Image.Image | None = None) -> None:
    """Makes the pixels of one colour white.

    Args:
        rgb: RGB image, which is changed.
        colour: Red, green and blue of transparent pixels, int [3]: 8 bits, or 16 bits with `low`.
        low: Low bytes of the samples of an image with 16 bits, of which `rgb` has the high bytes.
    """
    for box in _bands(rgb.size):
        band = rgb.crop(box)
        matches = (np.asarray(band) == (colour >> 8 if low else colour)).all(axis=2)
        if low:
            matches &= (np.asarray(low.crop(box)) == colour & 255).all(axis=2)
        if matches.any():
            rgb.paste("white", box, Image.fromarray(matches))


def _bands(size: tuple[int, int]) -> Iterator[Box]:
    width, height = size
    rows = max(1, _BAND_PIXELS // max(width, 1))
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)

"""Images cropped, scaled, brightened and mirrored at random, as the original distorts them.

A classifier that has learned from them minds less how an image was taken. Every variant of an
image is decided by the seed, its number and the image's content, so that it can be cached.
"""

import functools
import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from retrain.config import DistortionOptions
from retrain.data import pixels

# An image as it is, which is the first of its variants.
UNDISTORTED = 0

# Pixels that a large image keeps for each that is asked for: more cost time and show nothing.
_OVERSAMPLING = 2

# What a JPEG file begins with: the markers SOI and of another segment (ITU-T T.81, B.1.1.3).
_JPEG = b"\xff\xd8\xff"

_FULL = float(1 << 64)


class Draw(NamedTuple):
    """What is random in a variant: numbers from 0 to 1, and whether it is mirrored."""

    scale: float
    left: float
    top: float
    brightness: float
    mirrored: bool


def variants(
    data: bytes,
    digest: bytes,
    numbers: Sequence[int],
    height: int,
    width: int,
    options: DistortionOptions,
) -> Iterator[np.ndarray]:
    """Yields variants of an image, uint8 [height, width, 3], RGB, in the order of their numbers.

    It is decoded once for all of them. Only a JPEG, which is decoded otherwise for another size,
    is decoded once for all that are distorted, at a size that leaves enough pixels in the smallest
    crop, and once more where the undistorted one is asked for, which must be what `pixels.decode`
    returns.

    Args:
        data: the bytes of its file, as for `pixels.decode`.
        digest: SHA-256 of `data`.
        numbers: of the variants; UNDISTORTED stands for what `pixels.decode` returns.
        height: of the results, in pixels.
        width: of the results, in pixels.
        options: how much to distort.

    Raises:
        UnreadableImageError: as of `pixels.decode`.
    """
    reach = _largest_scale(options)
    sizes = {1.0: (height, width), reach: (round(height * reach), round(width * reach))}

    @functools.cache
    def upright(scale: float) -> Image.Image:
        return pixels.upright(data, *sizes[scale])

    large = None
    for number in numbers:
        if number == UNDISTORTED:
            yield pixels.resize(upright(1.0), height, width)
            continue
        if large is None:
            large = _shrunk(upright(reach if data.startswith(_JPEG) else 1.0), *sizes[reach])
        yield distort(large, height, width, options, _drawn(options.seed, number, digest))


def roomy(data: bytes, height: int, width: int, options: DistortionOptions) -> Image.Image:
    """Returns an image, upright and in RGB, that is large enough for any crop of it.

    Args:
        data: the bytes of its file, as for `pixels.decode`.
        height: of what will be made of it, in pixels.
        width: of what will be made of it, in pixels.
        options: how much it will be distorted.

    Raises:
        UnreadableImageError: as of `pixels.decode`.
    """
    reach = _largest_scale(options)
    size = round(height * reach), round(width * reach)
    # What is kept in memory should be small.
    return _shrunk(pixels.upright(data, *size), *size, oversampling=1)


def distort(
    image: Image.Image, height: int, width: int, options: DistortionOptions, draw: Draw
) -> np.ndarray:
    """Returns one variant, uint8 [height, width, 3].

    The original resizes an image to `1 + random_crop / 100` times what the network takes, times a
    random factor from 1 to `1 + random_scale / 100`, and cuts the network's size out of that at a
    random place. The same is done in one step: the box in the image that would end up there is
    what is resized.

    Args:
        image: upright, RGB.
        height: of the result, in pixels.
        width: of the result, in pixels.
        options: how much to distort.
        draw: what is random.
    """
    scale = (1 + options.random_crop / 100) * (1 + draw.scale * options.random_scale / 100)
    box_width, box_height = image.width / scale, image.height / scale
    left = draw.left * (image.width - box_width)
    top = draw.top * (image.height - box_height)
    box = (left, top, left + box_width, top + box_height)
    result = pixels.resize(image, height, width, box)
    if options.flip_left_right and draw.mirrored:
        result = result[:, ::-1]
    if options.random_brightness:
        factor = 1 + (2 * draw.brightness - 1) * options.random_brightness / 100
        levels = np.clip(np.rint(np.arange(256) * factor), 0, 255).astype(np.uint8)
        result = levels[result]
    return result


def _largest_scale(options: DistortionOptions) -> float:
    return (1 + options.random_crop / 100) * (1 + options.random_scale / 100)


def _shrunk(
    image: Image.Image, height: int, width: int, oversampling: int = _OVERSAMPLING
) -> Image.Image:
    """Returns an image of many pixels with fewer, by means over squares of them."""
    factor = min(image.height // height, image.width // width) // oversampling
    return image.reduce(factor) if factor > 1 else image


def _drawn(seed: int, number: int, digest: bytes) -> Draw:
    """Returns numbers that look random and stay the same with every version of every library."""
    noise = hashlib.sha256(b"%d %d " % (seed, number) + digest).digest()
    scale, left, top, last = (int.from_bytes(noise[i : i + 8], "big") for i in range(0, 32, 8))
    return Draw(scale / _FULL, left / _FULL, top / _FULL, (last >> 1) / (_FULL / 2), bool(last & 1))

"""Distorts images at random: crops, scales, brightens and mirrors them.

A classifier that is trained on distorted images depends less on how photos are taken. The seed,
the number of the variant and the content of the image determine each variant, so that its
bottleneck can be cached.
"""

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from retrain.data import fitting, pixels
from retrain.data.colours import Warn
from retrain.data.image_limits import DEFAULT_LIMITS, ImageLimits
from retrain.metadata import STRETCH
from retrain.training_options import DistortionOptions

# The number of the variant that is the image itself.
UNDISTORTED = 0

# Factor by which a large image exceeds the requested size after `_reduce`. More pixels take longer
# and make no visible difference.
_OVERSAMPLING = 2

# The first bytes of a JPEG file: the marker SOI and the start of another (ITU-T T.81, B.1.1.3).
_JPEG = b"\xff\xd8\xff"

_MAX_UINT64 = float(1 << 64)


class Distortion(NamedTuple):
    """The random values of one distortion, each uniformly distributed.

    Attributes:
        scale: Scale from the smallest, 0, to the largest, 1.
        left: Horizontal position of the crop, from 0 at the left border to 1 at the right border.
        top: Vertical position of the crop, from 0 at the upper border to 1 at the lower border.
        brightness: Brightness from the darkest, 0, to the brightest, 1.
        mirrored: Whether left and right are exchanged.
    """

    scale: float
    left: float
    top: float
    brightness: float
    mirrored: bool


def decode_variants(
    data: bytes,
    numbers: Sequence[int],
    options: DistortionOptions,
    *,
    digest: bytes,
    height: int,
    width: int,
    fit: str = STRETCH,
    warn: Warn = pixels.ignore_warning,
    limits: ImageLimits = DEFAULT_LIMITS,
    on_decoded: Callable[[Image.Image], None] = lambda image: None,
) -> Iterator[np.ndarray]:
    """Decodes an image file and yields variants of it, in the order of `numbers`.

    The file is decoded once for all variants. A JPEG file is decoded twice if `numbers` has
    UNDISTORTED and others: the distorted variants need a scale that leaves enough pixels in the
    smallest crop, and the undistorted one must be exactly the result of `pixels.decode`.

    Args:
        data: Content of an image file, as for `pixels.decode`.
        numbers: Numbers of the variants. UNDISTORTED is the result of `pixels.decode`.
        options: Kinds and limits of the distortions.
        digest: SHA-256 of `data`.
        height: Height of the variants in pixels.
        width: Width of the variants in pixels.
        fit: See `pixels.decode`.
        warn: See `pixels.decode`.
        limits: See `pixels.decode`.
        on_decoded: Receives the image as `pixels.decode_upright` returns it, before UNDISTORTED is
            yielded.

    Yields:
        uint8 [height, width, 3], RGB, 0 to 255.

    Raises:
        UnreadableImageError: See `pixels.decode`.
    """
    largest = _largest_scale(options)
    large_height, large_width = round(height * largest), round(width * largest)

    @functools.cache
    def decode(min_height: int, min_width: int) -> Image.Image:
        return pixels.decode_upright(data, min_height, min_width, warn=warn, limits=limits)

    large = None
    for number in numbers:
        if number == UNDISTORTED:
            upright = decode(height, width)
            on_decoded(upright)
            yield pixels.resize_to_fit(upright, height, width, fit=fit)
            continue
        if large is None:
            # Only JPEG files are decoded differently for another size.
            is_jpeg = data.startswith(_JPEG)
            decoded = decode(large_height, large_width) if is_jpeg else decode(height, width)
            with pixels.refuse_without_memory():
                large = _reduce(
                    decoded, large_height, large_width, fit=fit, oversampling=_OVERSAMPLING
                )
        distortion = _random_distortion(options.seed, number, digest)
        yield distort(large, distortion, options, height=height, width=width)


def decode_for_cropping(
    data: bytes, options: DistortionOptions, *, height: int, width: int, fit: str = STRETCH
) -> Image.Image:
    """Decodes an image file to upright RGB, large enough for every crop that `distort` takes.

    The result is as small as that allows, because it is meant to be kept in memory.

    Args:
        data: Content of an image file, as for `pixels.decode`.
        options: Kinds and limits of the distortions.
        height: Height of the distorted images in pixels.
        width: Width of the distorted images in pixels.
        fit: See `pixels.decode`.

    Raises:
        UnreadableImageError: See `pixels.decode`.
    """
    largest = _largest_scale(options)
    size = round(height * largest), round(width * largest)
    with pixels.refuse_without_memory():
        return _reduce(pixels.decode_upright(data, *size), *size, fit=fit, oversampling=1)


def distort(
    image: Image.Image,
    distortion: Distortion,
    options: DistortionOptions,
    *,
    height: int,
    width: int,
) -> np.ndarray:
    """Crops, scales, mirrors and brightens an image.

    TensorFlow's original `retrain.py` resizes an image to `1 + random_crop / 100` times the input
    size of the network, times a random factor from 1 to `1 + random_scale / 100`, and then crops
    the input size at a random position. Here both are one step: the part of the image that would
    end up in the crop is resized.

    Args:
        image: Upright RGB image, in the aspect ratio of the result unless it is to be stretched.
        distortion: Random values.
        options: Kinds and limits of the distortions.
        height: Height of the result in pixels.
        width: Width of the result in pixels.

    Returns:
        uint8 [height, width, 3], RGB, 0 to 255.
    """
    scale = (1 + options.random_crop / 100) * (1 + distortion.scale * options.random_scale / 100)
    box_width, box_height = image.width / scale, image.height / scale
    left = distortion.left * (image.width - box_width)
    top = distortion.top * (image.height - box_height)
    box = (left, top, left + box_width, top + box_height)
    result = pixels.resize(image, height, width, box=box)
    if options.random_brightness:
        factor = 1 + (2 * distortion.brightness - 1) * options.random_brightness / 100
        levels = np.clip(np.rint(np.arange(256) * factor), 0, 255).astype(np.uint8)
        # Bytes are looked up in half the time that an array takes.
        brightened = result.tobytes().translate(levels.tobytes())
        result = np.frombuffer(brightened, np.uint8).reshape(result.shape)
    if options.flip_left_right and distortion.mirrored:
        # Moving whole pixels takes half the time of moving three values each.
        whole_pixels = result.view("V3")[:, ::-1]
        result = np.ascontiguousarray(whole_pixels).view(np.uint8)
    return result


def _largest_scale(options: DistortionOptions) -> float:
    return (1 + options.random_crop / 100) * (1 + options.random_scale / 100)


def _reduce(
    image: Image.Image, min_height: int, min_width: int, *, fit: str, oversampling: int
) -> Image.Image:
    """Brings an image to the aspect ratio of the result, and shrinks a large one.

    It is shrunk by averaging squares of pixels. Both sides stay at least `oversampling` times the
    minimum.
    """
    if fit != STRETCH:
        image = fitting.adapt(image, oversampling * min_height, oversampling * min_width, fit=fit)
    factor = min(image.height // min_height, image.width // min_width) // oversampling
    return image.reduce(factor) if factor > 1 else image


def _random_distortion(seed: int, number: int, digest: bytes) -> Distortion:
    """Derives random values from a hash, which no version of any library changes."""
    noise = hashlib.sha256(b"%d %d " % (seed, number) + digest).digest()
    scale, left, top, last = (int.from_bytes(noise[i : i + 8], "big") for i in range(0, 32, 8))
    return Distortion(
        scale=scale / _MAX_UINT64,
        left=left / _MAX_UINT64,
        top=top / _MAX_UINT64,
        brightness=(last >> 1) / (_MAX_UINT64 / 2),
        mirrored=bool(last & 1),
    )

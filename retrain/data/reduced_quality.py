"""Reduces the quality of images as happens to photos in use: smaller, darker, stored again.

The features of such copies show which variation of an image is ordinary.
"""

import hashlib
import io

import numpy as np
from PIL import Image

from retrain.data import pixels
from retrain.metadata import STRETCH

# A change to what `decode` returns needs a higher version, which is part of the key in the cache.
VERSION = 1

# Ranges of the random values: factors of both sides and of the brightness, and the JPEG quality.
_SCALE = 0.4, 0.6
_BRIGHTNESS = 0.7, 0.9
_QUALITY = 30, 50
# A large image is reduced to this multiple of the requested size. More pixels make no difference.
_OVERSAMPLING = 2


def decode(
    data: bytes, *, digest: bytes, height: int, width: int, fit: str = STRETCH
) -> np.ndarray:
    """Decodes an image file as if it had about half the size, less light and a low JPEG quality.

    Args:
        data: Content of an image file, as for `pixels.decode`.
        digest: SHA-256 of `data`, which determines the random values.
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        fit: See `pixels.decode`.

    Returns:
        uint8 [height, width, 3], RGB, 0 to 255.

    Raises:
        UnreadableImageError: See `pixels.decode`.
    """
    scale, brightness, quality = _random_values(digest)
    with pixels.open_image(data) as original:
        longest = max(original.size)
    # A JPEG file is decoded at a reduced size if that is large enough.
    image = pixels.decode_upright(data, height, width)
    factor = min(
        scale * longest / max(image.size),
        _OVERSAMPLING * max(height / image.height, width / image.width),
    )
    with pixels.refuse_without_memory():
        if factor < 1:
            size = [max(1, round(side * factor)) for side in image.size]
            image = image.resize((size[0], size[1]), Image.Resampling.BILINEAR)
        levels = [round(level * brightness) for level in range(256)]
        buffer = io.BytesIO()
        image.point(levels * 3).save(buffer, "JPEG", quality=round(quality))
        with Image.open(buffer) as stored:
            return pixels.resize_to_fit(stored.convert("RGB"), height, width, fit=fit)


def _random_values(digest: bytes) -> tuple[float, float, float]:
    """Derives values from a hash, which no version of any library changes."""
    noise = hashlib.sha256(b"reduced quality" + digest).digest()
    fractions = [int.from_bytes(noise[i : i + 8], "big") / 2**64 for i in range(0, 24, 8)]
    scale, brightness, quality = (
        low + fraction * (high - low)
        for fraction, (low, high) in zip(fractions, (_SCALE, _BRIGHTNESS, _QUALITY), strict=True)
    )
    return scale, brightness, quality

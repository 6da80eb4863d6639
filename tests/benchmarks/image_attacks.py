"""Measures what hostile images cost. `attacks` runs it."""

import numpy as np
from PIL import Image

from tests.support import decoding_cost
from tests.support.hostile_images import ATTACKS
from tests.support.image_files import encode

_PHOTO_SIZE = (4000, 3000)


def run() -> None:
    """Prints the peak memory, the time and the outcome of each attack, after those of a photo.

    Each image is decoded to 224 x 224 pixels in a fresh process. The memory is the growth of its
    peak, with that of the process that decodes for it.
    """
    print(f"{'image':46} {'file':>10} {'memory':>9} {'time':>9}  outcome")
    _print("photo of 12 megapixels", _photo("JPEG"))
    _print("photo of 12 megapixels, WebP", _photo("WEBP", method=0))
    for attack in ATTACKS:
        _print(attack.name, attack.write())


def _photo(file_format: str, **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    return encode(Image.fromarray(noise).resize(_PHOTO_SIZE), file_format, **options)


def _print(name: str, data: bytes) -> None:
    cost = decoding_cost.measure(data)
    print(
        f"{name:46} {len(data) / 1e3:7,.0f} kB {cost.memory / 1e6:6,.0f} MB {cost.seconds:7.2f} s"
        f"  {cost.outcome}",
        flush=True,
    )

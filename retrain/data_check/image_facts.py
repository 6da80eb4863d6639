"""Measures what shows in the pixels and the header of an image file whether the image is of use."""

import numpy as np
from PIL import Image

from retrain.data import image_traits, pixels
from retrain.data.image_traits import MAX_SIDE, THUMBNAIL_SIDE

# Increase with every change to what is measured. Cached facts of older versions are measured again.
VERSION = 1

# Formats by their number in FACTS. The order is part of the format of cached facts.
FORMATS = ("", "JPEG", "PNG", "BMP", "GIF", "WEBP", "HEIF", "AVIF")

# What is measured, in the layout in which it is cached.
# width, height: Size in pixels after the rotation.
# format: Index in FORMATS.
# animated: 1 if the file has more than one frame.
# darkest, light_level, brightest: Luminance that 0.1 %, 99 % and 99.9 % of the pixels do not
#     exceed, 0 to 255.
# sharpness: Steepest change of luminance from one pixel to the next, as a share of the contrast.
# thumbnail: Luminance of the whole image, squeezed to a square.
FACTS = np.dtype(
    [
        ("width", "<u4"),
        ("height", "<u4"),
        ("format", "u1"),
        ("animated", "u1"),
        ("darkest", "u1"),
        ("light_level", "u1"),
        ("brightest", "u1"),
        ("sharpness", "<f4"),
        ("thumbnail", "u1", (THUMBNAIL_SIDE, THUMBNAIL_SIDE)),
    ]
)

_PERCENTILES = (0.1, 99, 99.9)
# Share of the pixels that can have an even steeper change.
_STEEP_SHARE = 0.001
# Smallest contrast that the sharpness refers to. Less is noise.
_MIN_CONTRAST = 8

_WEBP_FLAGS, _WEBP_ANIMATION = 20, 0x02


def measure(data: bytes) -> np.ndarray:
    """Measures an image file.

    Args:
        data: Content of the file.

    Returns:
        FACTS, a scalar.

    Raises:
        UnreadableImageError: If the image cannot be decoded.
    """
    facts = np.zeros((), FACTS)
    # Most networks see no more pixels. Blur that they cannot see does not count.
    upright = pixels.decode_upright(data, MAX_SIDE, MAX_SIDE)
    size, facts["format"], facts["animated"] = _read_header(data, upright)
    # JPEG files are decoded at a fraction of their size, and headers state it before the rotation.
    if (upright.width > upright.height) != (size[0] > size[1]):
        size = size[::-1]
    facts["width"], facts["height"] = size
    reduced = image_traits.reduce(upright)
    facts["thumbnail"] = image_traits.make_thumbnail(reduced)
    luminance = np.asarray(reduced)
    facts["darkest"], facts["light_level"], facts["brightest"] = np.percentile(
        luminance, _PERCENTILES
    )
    facts["sharpness"] = _sharpness(luminance.astype(np.float32))
    return facts


def _read_header(data: bytes, upright: Image.Image) -> tuple[tuple[int, int], int, int]:
    """Returns the size before the rotation, the index in FORMATS, and whether it is animated."""
    if data[4:8] == b"ftyp":
        kind = "AVIF" if data[8:11] == b"avi" else "HEIF"
        return upright.size, FORMATS.index(kind), int(data[8:12] in (b"avis", b"hevc", b"msf1"))
    if data[:4] == b"RIFF":
        is_animated = data[12:16] == b"VP8X" and data[_WEBP_FLAGS] & _WEBP_ANIMATION
        return upright.size, FORMATS.index("WEBP"), int(bool(is_animated))
    with pixels.open_image(data) as image:
        kind = image.format if image.format in FORMATS else ""
        if data[:2] == b"\xff\xd8":
            kind = "JPEG"
        elif kind == "PNG":
            return image.size, FORMATS.index(kind), int(_has_animation_chunk(data))
        is_animated = kind == "GIF" and bool(getattr(image, "is_animated", False))
        return image.size, FORMATS.index(kind or ""), int(is_animated)


def _has_animation_chunk(png: bytes) -> bool:
    """Returns whether a PNG file has an acTL chunk, which comes before the pixels."""
    return b"acTL" in png[: max(0, png.find(b"IDAT"))]


def _sharpness(luminance: np.ndarray) -> float:
    if min(luminance.shape) < 2:
        return 1.0
    steps = np.abs(np.diff(luminance, axis=1)).ravel(), np.abs(np.diff(luminance, axis=0)).ravel()
    changes = np.concatenate(steps)
    rank = int(len(changes) * (1 - _STEEP_SHARE))
    steepest = np.partition(changes, rank)[rank]
    contrast = luminance.max() - luminance.min()
    return float(steepest / max(contrast, _MIN_CONTRAST))

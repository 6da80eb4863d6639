"""Measures what shows that two images are of the same moment: their look and when they were taken.

It takes little time while an image is decoded anyway, so that images can be grouped before their
splits are final, without reading them again.
"""

import contextlib
import zlib
from datetime import UTC, datetime

import numpy as np
from PIL import ExifTags, Image

from retrain.data import pixels

# Increase with every change to what is measured. Cached traits of older versions are then measured
# again.
VERSION = 1

THUMBNAIL_SIDE = 32

# What is measured, in the layout in which it is cached.
# captured: Time at which a camera took the image, in seconds on its clock since 1970; 0 if unknown.
# camera: Checksum of the names of its maker and model.
# thumbnail: Luminance of the whole image, squeezed to a square.
TRAITS = np.dtype(
    [
        ("captured", "<u4"),
        ("camera", "<u4"),
        ("thumbnail", "u1", (THUMBNAIL_SIDE, THUMBNAIL_SIDE)),
    ]
)

# Images are reduced to this size first, that of most networks' input.
MAX_SIDE = 224

_EXIF = b"Exif\0\0"
# Where a file has its Exif block, and the largest block in a JPEG file.
_MAX_OFFSET = _MAX_BLOCK = 1 << 16
_TIME_FORMAT = "%Y:%m:%d %H:%M:%S"


def measure(data: bytes, upright: Image.Image, resized: np.ndarray | None = None) -> np.ndarray:
    """Measures a decoded image file.

    Args:
        data: Content of the file.
        upright: Its pixels, as `pixels.decode_upright` returns them.
        resized: Result of `pixels.resize` for these pixels and any size, if it is there already.

    Returns:
        TRAITS, a scalar.

    Raises:
        UnreadableImageError: If there is not enough memory.
    """
    traits = np.zeros((), TRAITS)
    traits["captured"], traits["camera"] = _read_capture(data)
    traits["thumbnail"] = make_thumbnail(reduce(upright, resized))
    return traits


def reduce(upright: Image.Image, resized: np.ndarray | None = None) -> Image.Image:
    """Returns the luminance of an image, reduced to at most MAX_SIDE pixels on each side.

    Args:
        upright: RGB image.
        resized: See `measure`.
    """
    height, width = min(upright.height, MAX_SIDE), min(upright.width, MAX_SIDE)
    if resized is None or resized.shape[:2] != (height, width):
        resized = pixels.resize(upright, height, width)
    # Converting the smaller image to luminance takes less time.
    return Image.fromarray(resized).convert("L")


def make_thumbnail(luminance: Image.Image) -> np.ndarray:
    """Returns the thumbnail of a reduced image, uint8 [32, 32]."""
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return np.asarray(luminance.resize(side, Image.Resampling.BOX))


def _read_capture(data: bytes) -> tuple[int, int]:
    """Returns the time and the camera of a photo, or zeros if the file does not state them."""
    start = data.find(_EXIF, 0, _MAX_OFFSET)
    if start < 0:
        return 0, 0
    exif = Image.Exif()
    # The pixels can be fine even if the block is damaged.
    with contextlib.suppress(Exception):
        exif.load(data[start : start + _MAX_BLOCK])
        text = str(exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal, ""))
        captured = datetime.strptime(text.strip("\0 "), _TIME_FORMAT).replace(tzinfo=UTC)
        names = f"{exif.get(ExifTags.Base.Make)} {exif.get(ExifTags.Base.Model)}"
        return max(0, int(captured.timestamp())) % (1 << 32), zlib.crc32(names.encode())
    return 0, 0

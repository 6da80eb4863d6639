"""The bytes of an image to the pixels that a network sees: one meaning on every route.

Training, labelling and serving call `decode`; `backbones/graph_preprocessing.py` states the same steps in
TensorFlow's operations, for the exported graph, and is tested to agree with this file. Whoever
changes what comes out here raises PREPROCESSING_VERSION, and all cached bottlenecks are recomputed.
"""

import io
import math
import struct
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

PREPROCESSING_VERSION = 1
RESIZE_METHOD = "bilinear-antialias"

_FILTER = Image.Resampling.BILINEAR

# An image of more pixels is refused before it is decoded: a small file can unpack to gigabytes.
MAX_PIXELS = 200_000_000

# What Pillow should try. Its other readers are slower, rarer, or start other programs.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
# Of files that begin as those of ISO/IEC 14496-12 do, whose first box has their brands.
_BOXED_FORMATS = ("HEIF", "AVIF")
_FIRST_BOX = b"ftyp"

_DAMAGE = (
    *(OSError, ValueError, SyntaxError, struct.error, IndexError, MemoryError),
    *(EOFError, RuntimeError, Image.DecompressionBombError),
)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow's own check warns at one limit and raises at twice that; `_open` states ours once.
Image.MAX_IMAGE_PIXELS = None


class UnreadableImageError(Exception):
    """The bytes are not an image that can be used; the message says why, without a file name."""


def decode(data: bytes, height: int, width: int) -> np.ndarray:
    """Returns the image in `data`, upright, in colour, and resized to `height` x `width` pixels.

    The steps, in their order, are those of `upright`, and then Pillow's bilinear filter, which
    covers all source pixels when it shrinks, rows before columns. The aspect ratio is not kept, as
    in the original.

    Args:
        data: the bytes of a JPEG, PNG, BMP, GIF (its first frame), WebP, HEIC or AVIF file.
        height: of the result, in pixels.
        width: of the result, in pixels.

    Returns:
        uint8 [height, width, 3], RGB, 0 to 255.

    Raises:
        UnreadableImageError: the data is of no such format, damaged, or of too many pixels.
    """
    return resize(upright(data, height, width), height, width)


def upright(data: bytes, height: int, width: int) -> Image.Image:
    """Returns the image in `data`, turned as its Exif orientation says, in RGB.

    JPEG files are decoded at 1, 1/2, 1/4 or 1/8 of their size, the least that leaves a whole
    multiple of each side asked for within it (the inverse cosine transform does it, in a fraction
    of the time). The alpha channel and the low bytes of 16-bit samples are dropped.

    Args:
        data: the bytes of a file, as for `decode`.
        height: that the image should have at least, in pixels, if it has.
        width: that the image should have at least, in pixels, if it has.

    Raises:
        UnreadableImageError: as for `decode`.
    """
    image = open_image(data)
    try:
        orientation = _exif_orientation(image)
        _shrink_while_decoding(image, height, width, turned=orientation >= 5)
        rgb = _to_rgb(image)
    except _DAMAGE as error:
        raise UnreadableImageError(f"it is damaged ({_reason(error)})") from error
    return rgb.transpose(_TURNS[orientation]) if orientation in _TURNS else rgb


def resize(
    rgb: Image.Image,
    height: int,
    width: int,
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """Returns an image, or what is in a box of it, as uint8 [height, width, 3], RGB.

    Args:
        rgb: from `upright`.
        height: of the result, in pixels.
        width: of the result, in pixels.
        box: left, upper, right and lower bound, in pixels of `rgb`; None for the whole.
    """
    left, upper, right, lower = box or (0, 0, rgb.width, rgb.height)
    # In one call, some versions of Pillow begin with the columns of tall images; the result
    # differs by one here and there, and would from what the graph computes.
    rows = rgb.resize((width, rgb.height), _FILTER, (left, 0, right, rgb.height))
    return np.asarray(rows.resize((width, height), _FILTER, (0, upper, width, lower)))


def normalise(pixels: np.ndarray, mean: Any, std: Any) -> np.ndarray:
    """Returns `(pixels - mean) / std` as float32, of the same shape.

    Args:
        pixels: uint8 [..., 3], 0 to 255.
        mean: a number, or one for each channel, in units of `pixels`.
        std: a number, or one for each channel, in units of `pixels`.
    """
    return look_up(pixels, normalised_levels(mean, std))


def normalised_levels(mean: Any, std: Any) -> np.ndarray:
    """Returns what `normalise` makes of 0 to 255 in each channel, float32 [256, 1 or 3]."""
    levels = np.arange(256, dtype=np.float32)[:, np.newaxis]
    return (levels - np.float32(mean)) / np.float32(std)


def look_up(pixels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Returns for each pixel what the table has for it: a fraction of the time of arithmetic.

    Args:
        pixels: uint8 [..., 3], 0 to 255.
        table: [256, 1] for all channels, or [256, 3] with a column for each.

    Returns:
        An array of the shape of `pixels` and the dtype of `table`.
    """
    if (table == table[:, :1]).all():
        return np.take(table[:, 0], pixels)
    channels = [np.take(column, pixels[..., number]) for number, column in enumerate(table.T)]
    return np.stack(channels, axis=-1)


def open_image(data: bytes, most_pixels: int = MAX_PIXELS) -> Image.Image:
    """Returns the image in `data`, of which only the head was read.

    Args:
        data: the bytes of a file, as for `decode`.
        most_pixels: that it may have.

    Raises:
        UnreadableImageError: as for `decode`.
    """
    if not data:
        raise UnreadableImageError("it is an empty file")
    try:
        image = Image.open(io.BytesIO(data), formats=_formats(data))
    except UnidentifiedImageError as error:
        raise UnreadableImageError(
            "it is not a JPEG, PNG, BMP, GIF, WebP, HEIC or AVIF file, or its head is damaged"
        ) from error
    except _DAMAGE as error:
        raise UnreadableImageError(f"it is damaged ({_reason(error)})") from error
    if math.prod(image.size) > most_pixels:
        raise UnreadableImageError(
            f"it has {image.width} x {image.height} pixels, more than {most_pixels:,} in all"
        )
    return image


def _formats(data: bytes) -> tuple[str, ...]:
    if data[4:8] != _FIRST_BOX:
        return _FORMATS
    import pillow_heif

    # Images come turned from it, and without an orientation.
    pillow_heif.register_heif_opener()
    return _BOXED_FORMATS


def _exif_orientation(image: Image.Image) -> int:
    """Returns 1 to 8 as the Exif specification (CIPA DC-008, 4.6.5) numbers them, 1 where none.

    `Image.getexif` would look into XMP too, which the graph's version of this cannot.
    """
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except (OSError, ValueError, SyntaxError, struct.error, IndexError, TypeError, KeyError):
        return 1  # A damaged Exif block does not damage the image.
    return orientation if orientation in _TURNS else 1


def _shrink_while_decoding(image: Image.Image, height: int, width: int, turned: bool) -> None:
    if image.format in ("JPEG", "MPO"):
        image.draft(None, (height, width) if turned else (width, height))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow clips 16-bit grey at 255 where its other modes, and TensorFlow, keep the high byte.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

"""Decodes image files to the RGB pixels that a network sees.

Training, labelling and serving all call `decode`, so an image has the same pixels on every route.
`backbones/graph_preprocessing.py` implements the same steps with TensorFlow operations for the
exported graph, and a test compares the two. Increase PREPROCESSING_VERSION with every change to the
pixels, or to their normalisation in `runtimes/preprocessing.py`: cached bottlenecks of older
versions are then computed again.

The steps of version 2, in this order:

1. The content of a file determines its format, not its name. The first frame of a GIF, WebP, HEIC
   or AVIF file is decoded, and the image in the IDAT chunks of an animated PNG file. Colour
   profiles and gamma are not applied. Samples of 16 bits are reduced to their high byte. Greyscale
   PNG files of 16 bits with an sBIT chunk of n < 16 bits become
   `value * 256 // 2**n` instead, if no value needs more than n bits.
2. The canvas of a GIF file is its logical screen, extended to the right and downwards if the first
   frame exceeds it. The canvas is transparent where the first frame does not cover it.
3. A JPEG file is decoded at 1/2, 1/4 or 1/8 of its size if both sides stay at least as long as
   those of the result.
4. The image is composited on white: each channel becomes
   `round((value * alpha + 255 * (255 - alpha)) / 255)`, before anything is resized. Alpha has 8
   bits; of 16 bits, the high byte counts. A tRNS chunk of a greyscale or RGB file makes the pixels
   transparent whose samples are equal to it at their full depth. In a palette, it has one alpha
   value for each of the first entries. A chunk with the wrong length or checksum, a second one, one
   after the pixels, and one before the palette is ignored, as is any chunk that the pixels do not
   need. The alpha channel of BMP files counts only if their header has a mask for it.
5. The Exif orientation turns the image upright, by the rule of Chromium. Only the first block
   counts: in a JPEG file, the first APP1 segment before the pixels that starts with "Exif", a zero
   byte and any byte; in a PNG file, the first eXIf chunk before the pixels with a correct checksum;
   in a WebP file, the EXIF chunk (which Chromium does not read). The block is a TIFF header (II or
   MM, 42) and a table, which must lie within the block as a whole. Its first entry with the tag
   0x0112, type SHORT and count 1 is the orientation; other values than 1 to 8 mean 1. XMP, raw
   profiles in text chunks and later blocks are ignored. HEIC and AVIF files are rotated by their
   irot and imir boxes only.
6. The image is resized with a triangle filter, in two passes that each round half up. The first
   pass is horizontal, unless the image is narrower and higher than the result: then it is vertical.
   So the image between the passes is never larger than both the source and the result.

Version 1 differs in this: alpha is dropped in step 4, and samples of 16 bits are always reduced to
their high byte.
"""

import contextlib
import io
import math
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from retrain.data import colours, image_formats, image_header
from retrain.data.image_header import ImageHeader

PREPROCESSING_VERSION = 2
RESIZE_METHOD = "bilinear-antialias"

_FILTER = Image.Resampling.BILINEAR

# Larger images are refused before they are decoded: a small file can unpack to gigabytes.
MAX_PIXELS = 200_000_000

# Resizing takes 16 bytes for each pixel of the longer side, in addition to those of all pixels.
_PIXELS_PER_LENGTH = 16

# The transformation that brings an image with this Exif orientation upright.
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Box = tuple[float, float, float, float]
Warn = colours.Warn

# `open_image` checks the size itself. Pillow's own check would print a warning for smaller images.
Image.MAX_IMAGE_PIXELS = None


def ignore_library_warnings() -> None:
    """Drops the warnings of decoders, which name lines of their code instead of the image."""
    warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)(\.|$)")


ignore_library_warnings()


def ignore_warning(_: str) -> None:
    """Ignores a warning about an image."""


class UnreadableImageError(Exception):
    """The data is not a usable image. The message gives the reason, without a file name."""


def decode(
    data: bytes,
    height: int,
    width: int,
    *,
    preprocessing_version: int = PREPROCESSING_VERSION,
    warn: Warn = ignore_warning,
) -> np.ndarray:
    """Decodes an image file to upright RGB pixels, resized to `height` x `width`.

    The image is decoded by `decode_upright` and then resized by `resize`. The aspect ratio is not
    preserved.

    Args:
        data: Content of a JPEG, PNG, BMP, GIF, WebP, HEIC or AVIF file. Of an animation, the first
            frame is used.
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        preprocessing_version: Version that the classifier was trained with, 1 or 2. Transparency
            becomes white in version 2; in version 1, the colours under it are used.
        warn: Called with what is wrong with an image that can be decoded but is hardly of use.

    Returns:
        uint8 [height, width, 3], RGB, 0 to 255.

    Raises:
        UnreadableImageError: If the data has another format, is damaged or has too many pixels.
    """
    upright = decode_upright(
        data, height, width, preprocessing_version=preprocessing_version, warn=warn
    )
    return resize(upright, height, width)


def decode_upright(
    data: bytes,
    min_height: int,
    min_width: int,
    *,
    preprocessing_version: int = PREPROCESSING_VERSION,
    warn: Warn = ignore_warning,
) -> Image.Image:
    """Decodes an image file to RGB and rotates it according to its Exif orientation.

    Transparent pixels become white. A JPEG file is decoded at 1/2, 1/4 or 1/8 of its size if both
    sides stay at least as long as requested, because that takes a fraction of the time. Other
    files keep their size.

    Args:
        data: Content of an image file, as for `decode`.
        min_height: Height in pixels that a JPEG file is not reduced below.
        min_width: Width in pixels that a JPEG file is not reduced below.
        preprocessing_version: See `decode`.
        warn: See `decode`.

    Raises:
        UnreadableImageError: See `decode`.
    """
    header = _parse(data)
    image = _open(header, MAX_PIXELS)
    with _refuse_damaged(header):
        if header.orientation is None:
            orientation = _reported_orientation(image)
        else:
            orientation = header.orientation
        if image.format == "JPEG":
            swapped = orientation >= 5
            image.draft(None, (min_height, min_width) if swapped else (min_width, min_height))
        if preprocessing_version == 1:
            rgb = colours.without_compositing(image)
        elif header.png:
            rgb = colours.png_to_rgb(image, header.png, warn)
        elif header.gif:
            rgb = colours.gif_to_rgb(image, header.gif)
        else:
            rgb = colours.other_to_rgb(image, header.data)
        if orientation in _TRANSPOSITIONS:
            return rgb.transpose(_TRANSPOSITIONS[orientation])
        return rgb


def resize(
    rgb: Image.Image,
    height: int,
    width: int,
    *,
    box: Box | None = None,
) -> np.ndarray:
    """Resizes an image, or a part of it, with Pillow's bilinear filter.

    When the filter shrinks an image, it averages over all source pixels (antialiasing).

    Args:
        rgb: RGB image.
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        box: Left, upper, right and lower bound of the part to resize, in pixels of `rgb`; None for
            the whole image.

    Returns:
        uint8 [height, width, 3], RGB, 0 to 255.

    Raises:
        UnreadableImageError: If there is not enough memory.
    """
    with refuse_without_memory():
        if box:
            rgb, box = _crop(rgb, box, height, width)
        left, upper, right, lower = box or (0, 0, rgb.width, rgb.height)
        # In a single call, the order of the passes would depend on the version of Pillow.
        if right - left < width and lower - upper > height:
            columns = rgb.resize((rgb.width, height), _FILTER, (0, upper, rgb.width, lower))
            resized = columns.resize((width, height), _FILTER, (left, 0, right, height))
        else:
            rows = rgb.resize((width, rgb.height), _FILTER, (left, 0, right, rgb.height))
            resized = rows.resize((width, height), _FILTER, (0, upper, width, lower))
        return np.asarray(resized)


def open_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Opens an image file without decoding its pixels, or allocating memory for them.

    Args:
        data: Content of an image file, as for `decode`.
        max_pixels: Maximum number of pixels in the image.

    Raises:
        UnreadableImageError: See `decode`.
    """
    return _open(_parse(data), max_pixels)


def _parse(data: bytes) -> ImageHeader:
    if not data:
        raise UnreadableImageError("it is an empty file")
    try:
        header = image_header.parse(data)
    except image_header.DamagedHeaderError as error:
        raise UnreadableImageError(f"it is damaged ({error})") from error
    if not header:
        raise UnreadableImageError(_name_format(data))
    return header


def _open(header: ImageHeader, max_pixels: int) -> ImageFile.ImageFile:
    if header.size:
        _check_size(header.size, max_pixels)
    if "HEIF" in header.formats:
        import pillow_heif

        # pillow_heif returns upright images, and removes their orientation.
        pillow_heif.register_heif_opener()
    with _refuse_damaged(header):
        image = Image.open(io.BytesIO(header.data), formats=header.formats)
    _check_size(image.size, max_pixels)
    return image


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    if math.prod(size) > max_pixels:
        raise UnreadableImageError(
            f"it has {size[0]} x {size[1]} pixels, more than the maximum of {max_pixels:,}"
        )
    if max(size) > max_pixels // _PIXELS_PER_LENGTH:
        raise UnreadableImageError(
            f"it has {size[0]} x {size[1]} pixels, and its longer side has more than the maximum "
            f"of {max_pixels // _PIXELS_PER_LENGTH:,}"
        )


@contextlib.contextmanager
def refuse_without_memory() -> Iterator[None]:
    """Turns a lack of memory into a refusal of the image."""
    try:
        yield
    except MemoryError as error:
        raise UnreadableImageError("it needs more memory than is available") from error


@contextlib.contextmanager
def _refuse_damaged(header: ImageHeader) -> Iterator[None]:
    """Turns all that a decoder raises into a refusal of the image."""
    try:
        with refuse_without_memory():
            yield
    except UnreadableImageError:
        raise
    except Exception as error:
        # Decoders raise errors of any kind for damaged files, such as ZeroDivisionError.
        if header.variant:
            reason = f"it is {header.variant}, which cannot be decoded; save it as baseline JPEG"
        elif isinstance(error, UnidentifiedImageError):
            reason = _name_format(header.data)
        else:
            reason = f"it is damaged ({_reason(error)})"
        raise UnreadableImageError(reason) from error


def _name_format(data: bytes) -> str:
    expected = f"it is not a {image_formats.READABLE} file"
    name = image_formats.name_unreadable(data)
    return f"{expected} but {name}" if name else f"{expected}, or its header is damaged"


def _reported_orientation(image: Image.Image) -> int:
    """Returns the orientation that the decoder of a boxed format states."""
    exif = Image.Exif()
    with contextlib.suppress(Exception):
        exif.load(image.info.get("exif", b""))
        return int(exif.get(ExifTags.Base.Orientation, 1))
    return 1  # The pixels can be fine even if the Exif block is damaged.


def _crop(rgb: Image.Image, box: Box, height: int, width: int) -> tuple[Image.Image, Box]:
    """Removes rows and columns that do not influence the resized part of an image."""
    left, upper, right, lower = box
    # The filter reaches as far as one pixel of the result, and at least one of the source.
    across = math.ceil(max(1, (right - left) / width)) + 1
    down = math.ceil(max(1, (lower - upper) / height)) + 1
    x = max(0, math.floor(left) - across)
    y = max(0, math.floor(upper) - down)
    bounds = (
        x,
        y,
        min(rgb.width, math.ceil(right) + across),
        min(rgb.height, math.ceil(lower) + down),
    )
    return rgb.crop(bounds), (left - x, upper - y, right - x, lower - y)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

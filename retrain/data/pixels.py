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
   PNG files of 16 bits with an sBIT chunk of n < 16 bits keep their top 8 of n bits instead
   (`value >> (n - 8)`, at most 255), if no value needs more than n bits.
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

import io
import math
import struct

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

PREPROCESSING_VERSION = 2
RESIZE_METHOD = "bilinear-antialias"

_FILTER = Image.Resampling.BILINEAR

# Larger images are refused before they are decoded: a small file can unpack to gigabytes.
MAX_PIXELS = 200_000_000

# The formats that Pillow tries. Its other readers are slow or rarely used, or start other programs.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
# The formats of files that start with a box of type `ftyp` (ISO/IEC 14496-12).
_BOXED_FORMATS = ("HEIF", "AVIF")
_FIRST_BOX = b"ftyp"

# What Pillow raises for damaged files.
_DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    struct.error,
    IndexError,
    MemoryError,
    EOFError,
    RuntimeError,
    Image.DecompressionBombError,
)

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

# `open_image` checks the size itself. Pillow's own check would print a warning for smaller images.
Image.MAX_IMAGE_PIXELS = None


class UnreadableImageError(Exception):
    """The data is not a usable image. The message gives the reason, without a file name."""


def decode(
    data: bytes,
    height: int,
    width: int,
    *,
    preprocessing_version: int = PREPROCESSING_VERSION,
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

    Returns:
        uint8 [height, width, 3], RGB, 0 to 255.

    Raises:
        UnreadableImageError: If the data has another format, is damaged or has too many pixels.
    """
    upright = decode_upright(data, height, width, preprocessing_version=preprocessing_version)
    return resize(upright, height, width)


def decode_upright(
    data: bytes,
    min_height: int,
    min_width: int,
    *,
    preprocessing_version: int = PREPROCESSING_VERSION,
) -> Image.Image:
    """Decodes an image file to RGB and rotates it according to its Exif orientation.

    Transparent pixels become white, and the low bytes of 16-bit samples are dropped. A JPEG file is decoded at
    1/2, 1/4 or 1/8 of its size if both sides stay at least as long as requested, because that
    takes a fraction of the time. Other files keep their size.

    Args:
        data: Content of an image file, as for `decode`.
        min_height: Height in pixels that a JPEG file is not reduced below.
        min_width: Width in pixels that a JPEG file is not reduced below.
        preprocessing_version: See `decode`.

    Raises:
        UnreadableImageError: See `decode`.
    """
    image = open_image(data)
    try:
        orientation = _exif_orientation(image)
        _request_smaller_scale(image, min_height, min_width, swapped=orientation >= 5)
        rgb = _to_rgb(image, composite=preprocessing_version >= 2)
    except _DAMAGE as error:
        raise UnreadableImageError(f"it is damaged ({_reason(error)})") from error
    if orientation in _TRANSPOSITIONS:
        return rgb.transpose(_TRANSPOSITIONS[orientation])
    return rgb


def resize(
    rgb: Image.Image,
    height: int,
    width: int,
    *,
    box: tuple[float, float, float, float] | None = None,
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
    """
    left, upper, right, lower = box or (0, 0, rgb.width, rgb.height)
    # In a single call, some versions of Pillow resize the columns of tall images first. A few
    # values would then differ by one from what the exported graph computes.
    rows = rgb.resize((width, rgb.height), _FILTER, (left, 0, right, rgb.height))
    return np.asarray(rows.resize((width, height), _FILTER, (0, upper, width, lower)))


def open_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Opens an image file without decoding its pixels.

    Args:
        data: Content of an image file, as for `decode`.
        max_pixels: Maximum number of pixels in the image.

    Raises:
        UnreadableImageError: See `decode`.
    """
    if not data:
        raise UnreadableImageError("it is an empty file")
    try:
        image = Image.open(io.BytesIO(data), formats=_formats(data))
    except UnidentifiedImageError as error:
        raise UnreadableImageError(
            "it is not a JPEG, PNG, BMP, GIF, WebP, HEIC or AVIF file, or its header is damaged"
        ) from error
    except _DAMAGE as error:
        raise UnreadableImageError(f"it is damaged ({_reason(error)})") from error
    if math.prod(image.size) > max_pixels:
        raise UnreadableImageError(
            f"it has {image.width} x {image.height} pixels, more than the maximum of {max_pixels:,}"
        )
    return image


def _formats(data: bytes) -> tuple[str, ...]:
    if data[4:8] != _FIRST_BOX:
        return _FORMATS
    import pillow_heif

    # pillow_heif returns upright images, and removes their orientation.
    pillow_heif.register_heif_opener()
    return _BOXED_FORMATS


def _exif_orientation(image: Image.Image) -> int:
    """Returns the orientation, 1 to 8 (CIPA DC-008, 4.6.5); 1 if there is none.

    `Image.getexif` would also read XMP, which the exported graph cannot.
    """
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except (OSError, ValueError, SyntaxError, struct.error, IndexError, TypeError, KeyError):
        return 1  # The pixels can be fine even if the Exif block is damaged.
    return orientation if orientation in _TRANSPOSITIONS else 1


def _request_smaller_scale(
    image: Image.Image, min_height: int, min_width: int, *, swapped: bool
) -> None:
    """Makes Pillow decode a JPEG file at the smallest scale that is large enough."""
    if image.format in ("JPEG", "MPO"):
        image.draft(None, (min_height, min_width) if swapped else (min_width, min_height))


def _to_rgb(image: Image.Image, *, composite: bool) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow clips 16-bit greyscale at 255. In its other modes, as in TensorFlow, the high byte
        # is used.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if composite and image.has_transparency_data:
        rgba = image.convert("RGBA")
        rgb = Image.new("RGB", image.size, "white")
        rgb.paste(rgba, mask=rgba)
        return rgb
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

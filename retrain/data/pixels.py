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
   So the image between the passes is never larger than both the source and the result. `--fit`
   decides what happens to an image of w x h pixels whose aspect ratio is not that of the result,
   W x H pixels. Quotients are rounded half up to whole pixels, and are at least 1:
   - stretch: The whole image becomes W x H pixels.
   - crop: If w * H > h * W, only a part of h * W / H columns becomes W x H pixels, and otherwise
     only a part of w * H / W rows. If it is k columns, it starts at column (w - k) // 2; rows
     likewise.
   - pad: If w * H > h * W, the whole image becomes W x k pixels with k = h * W / w, and otherwise
     k x H pixels with k = w * H / h. It is placed on a black image of W x H pixels, at row
     (H - k) // 2 or column (W - k) // 2.

HEIC and AVIF files, and WebP files with lossless pixels or alpha, are decoded in a separate
process, because nothing bounds their decoders from inside. All others are decoded in this one.

Version 1 differs in this: alpha is dropped in step 4, and samples of 16 bits are always reduced to
their high byte.
"""

import numpy as np
from PIL import Image, ImageFile

from retrain.data import image_header, isolated_decoding, upright
from retrain.data.colours import Warn
from retrain.data.decoder_process import Request
from retrain.data.fitting import resize_to_fit
from retrain.data.image_limits import DEFAULT_LIMITS, ImageLimits
from retrain.data.resizing import resize
from retrain.data.unreadable_image import UnreadableImageError, refuse_without_memory
from retrain.metadata import STRETCH

__all__ = (
    "PREPROCESSING_VERSION",
    "RESIZE_METHOD",
    "UnreadableImageError",
    "check_budget",
    "decode",
    "decode_upright",
    "open_image",
    "refuse_without_memory",
    "resize",
    "resize_to_fit",
)

PREPROCESSING_VERSION = 2
RESIZE_METHOD = "bilinear-antialias"


def ignore_warning(_: str) -> None:
    """Ignores a warning about an image."""


def decode(
    data: bytes,
    height: int,
    width: int,
    *,
    fit: str = STRETCH,
    preprocessing_version: int = PREPROCESSING_VERSION,
    warn: Warn = ignore_warning,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> np.ndarray:
    """Decodes an image file to upright RGB pixels, resized to `height` x `width`.

    The image is decoded by `decode_upright` and then resized by `resize_to_fit`.

    Args:
        data: Content of a JPEG, PNG, BMP, GIF, WebP, HEIC or AVIF file. Of an animation, the first
            frame is used.
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        fit: Handling of another aspect ratio; see `resize_to_fit`.
        preprocessing_version: Version that the classifier was trained with, 1 or 2. Transparency
            becomes white in version 2; in version 1, the colours under it are used.
        warn: Called with what is wrong with an image that can be decoded but is hardly of use.
        limits: Budget of the image.

    Returns:
        uint8 [height, width, 3], RGB, 0 to 255.

    Raises:
        UnreadableImageError: If the data has another format, is damaged or exceeds the budget.
    """
    header = image_header.parse(data, limits)
    if header.needs_isolation:
        request = Request(height, width, preprocessing_version, resized=True, fit=fit)
        _, pixels = isolated_decoding.decode(data, request, limits)
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
    rgb = upright.decode_parsed(
        header,
        height,
        width,
        preprocessing_version=preprocessing_version,
        limits=limits,
        warn=warn,
    )
    return resize_to_fit(rgb, height, width, fit=fit)


def decode_upright(
    data: bytes,
    min_height: int,
    min_width: int,
    *,
    preprocessing_version: int = PREPROCESSING_VERSION,
    warn: Warn = ignore_warning,
    limits: ImageLimits = DEFAULT_LIMITS,
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
        limits: See `decode`.

    Raises:
        UnreadableImageError: See `decode`.
    """
    header = image_header.parse(data, limits)
    if header.needs_isolation:
        request = Request(min_height, min_width, preprocessing_version, resized=False)
        size, pixels = isolated_decoding.decode(data, request, limits)
        with refuse_without_memory():
            return Image.frombytes("RGB", size, pixels)
    return upright.decode_parsed(
        header,
        min_height,
        min_width,
        preprocessing_version=preprocessing_version,
        limits=limits,
        warn=warn,
    )


def open_image(data: bytes, *, limits: ImageLimits = DEFAULT_LIMITS) -> ImageFile.ImageFile:
    """Opens an image file without decoding its pixels.

    Args:
        data: Content of an image file, as for `decode`.
        limits: Budget of the image.

    Raises:
        UnreadableImageError: See `decode`.
    """
    return upright.open_parsed(image_header.parse(data, limits), limits)


def check_budget(data: bytes, limits: ImageLimits) -> None:
    """Checks an image file that another decoder is about to read, such as the one in a graph.

    Args:
        data: Content of an image file, as for `decode`.
        limits: Budget of the image.

    Raises:
        UnreadableImageError: If the file has another format, its header is damaged, or it exceeds
            the budget.
    """
    header = image_header.parse(data, limits)
    if not header.needs_isolation:
        with upright.open_parsed(header, limits) as image:
            limits.check_cost(header.cost, image.size, file_bytes=len(data))

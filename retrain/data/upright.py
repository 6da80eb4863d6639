"""Decodes parsed image files to upright RGB images in this process."""

import contextlib
import io
import warnings
from collections.abc import Iterator

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from retrain.data import colours, image_formats
from retrain.data.colours import Warn
from retrain.data.image_header import ImageHeader
from retrain.data.image_limits import ImageLimits
from retrain.data.unreadable_image import UnreadableImageError, refuse_without_memory

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
_BYTES_PER_PIXEL = 4

# `open_parsed` checks the size itself. Pillow's own check would print a warning for smaller images.
Image.MAX_IMAGE_PIXELS = None


def ignore_library_warnings() -> None:
    """Drops the warnings of decoders, which name lines of their code instead of the image."""
    warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)(\.|$)")


ignore_library_warnings()


def open_parsed(header: ImageHeader, limits: ImageLimits) -> ImageFile.ImageFile:
    """Opens a parsed file without decoding its pixels.

    Raises:
        UnreadableImageError: If the file is damaged or has too many pixels.
    """
    if "HEIF" in header.formats:
        import pillow_heif

        # pillow_heif returns upright images, and removes their orientation.
        pillow_heif.register_heif_opener()
    with _refuse_damaged(header):
        image = Image.open(io.BytesIO(header.data), formats=header.formats)
    limits.check_size(image.size)
    return image


def decode_parsed(
    header: ImageHeader,
    min_height: int,
    min_width: int,
    *,
    preprocessing_version: int,
    limits: ImageLimits,
    warn: Warn,
) -> Image.Image:
    """Decodes a parsed file; see `pixels.decode_upright`."""
    image = open_parsed(header, limits)
    with _refuse_damaged(header):
        if header.orientation is None:
            orientation = _reported_orientation(image)
        else:
            orientation = header.orientation
        full_size = image.size
        if image.format == "JPEG":
            swapped = orientation >= 5
            image.draft(None, (min_height, min_width) if swapped else (min_width, min_height))
        limits.check_cost(
            header.cost,
            full_size,
            file_bytes=len(header.data),
            decoded_size=image.size,
        )
        # Pillow appends to a row that is longer than what it reads at once, piece by piece.
        image.decodermaxblock = max(image.decodermaxblock, _BYTES_PER_PIXEL * image.width)
        if preprocessing_version == 1:
            rgb = colours.without_compositing(image)
        elif header.png:
            rgb = colours.png_to_rgb(image, header.png, warn)
        elif header.gif:
            rgb = colours.gif_to_rgb(image, header.gif)
        else:
            rgb = colours.other_to_rgb(image, header.data)
        del image
        # Some decoders correct the size that they stated.
        limits.check_size(rgb.size)
        if orientation in _TRANSPOSITIONS:
            return rgb.transpose(_TRANSPOSITIONS[orientation])
        return rgb


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
            reason = image_formats.describe_unreadable(header.data)
        else:
            reason = f"it is damaged ({_reason(error)})"
        raise UnreadableImageError(reason) from error


def _reported_orientation(image: Image.Image) -> int:
    """Returns the orientation that the decoder of a boxed format states."""
    exif = Image.Exif()
    with contextlib.suppress(Exception):
        exif.load(image.info.get("exif", b""))
        return int(exif.get(ExifTags.Base.Orientation, 1))
    return 1  # The pixels can be fine even if the Exif block is damaged.


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

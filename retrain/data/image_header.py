"""Reads what an image file states besides its pixels: format, size, orientation, transparency."""

from typing import NamedTuple

from retrain.data import (
    bitmap,
    boxes,
    exif,
    gif_frame,
    image_formats,
    jpeg_segments,
    png_chunks,
    webp_chunks,
)
from retrain.data.gif_frame import GifFile
from retrain.data.image_limits import Cost, ImageLimits, Size
from retrain.data.png_chunks import PngFile
from retrain.data.unreadable_image import UnreadableImageError

# Some programs also write this prefix of JPEG files to WebP files.
_EXIF_PREFIX = b"Exif\0\0"

_JPEG_BYTES_PER_PIXEL = 8
# The time without any scans, and the time for each of them.
_JPEG_NANOSECONDS, _SCAN_NANOSECONDS = 20, 3
_PNG_COST = Cost(bytes_per_pixel=9)
_DEEP_PNG_COST = Cost(bytes_per_pixel=12)
_GIF_COST = Cost(bytes_per_pixel=10)
_BMP_COST = Cost(bytes_per_pixel=8)
# Pillow decodes these pixels in Python.
_RUN_LENGTH_BMP_COST = Cost(bytes_per_pixel=8, pixel_nanoseconds=160, byte_nanoseconds=200)
_WEBP_COST = Cost(bytes_per_pixel=20)
_BOXED_COST = Cost(bytes_per_pixel=18)


class ImageHeader(NamedTuple):
    """What an image file states besides its pixels.

    Attributes:
        data: Content of the file, without the parts that a decoder does not need.
        formats: Names of the decoders to try, in Pillow's terms.
        cost: Cost of decoding.
        size: Width and height that the decoder allocates memory for when it opens the file, or
            None if it allocates nothing until it decodes the pixels.
        needs_isolation: Whether the file must be decoded in a separate process, because what it
            states bounds neither the memory nor the time of the decoder.
        orientation: Exif orientation, 1 to 8, or None if the decoder states it.
        png: Chunks, if it is a PNG file.
        gif: First frame, if it is a GIF file.
        variant: Name of an unusual variant of its format, or "".
    """

    data: bytes
    formats: tuple[str, ...]
    cost: Cost
    size: Size | None = None
    needs_isolation: bool = False
    orientation: int | None = exif.UPRIGHT
    png: PngFile | None = None
    gif: GifFile | None = None
    variant: str = ""


def parse(data: bytes, limits: ImageLimits) -> ImageHeader:
    """Returns what a file states, if that is within the limits.

    Raises:
        UnreadableImageError: If the file exceeds the limits, its first bytes are of no format that
            can be decoded, or the size is missing in a format whose decoder allocates memory for
            all pixels when it opens the file.
    """
    if not data:
        raise UnreadableImageError("it is an empty file")
    limits.check_file(len(data))
    header = _parse(data, limits)
    if header.size:
        limits.check_size(header.size)
        limits.check_cost(header.cost, header.size, file_bytes=len(data))
    return header


def _parse(data: bytes, limits: ImageLimits) -> ImageHeader:
    if data.startswith(jpeg_segments.START):
        return _parse_jpeg(data, limits)
    if data.startswith(png_chunks.MAGIC):
        png = png_chunks.parse(data, limits)
        orientation = exif.read_orientation(png.exif)
        cost = _DEEP_PNG_COST if png.bits == 16 else _PNG_COST
        return ImageHeader(png.data, ("PNG",), cost, orientation=orientation, png=png)
    if data.startswith(gif_frame.MAGIC):
        gif = gif_frame.parse(data, limits)
        if not gif:
            raise UnreadableImageError("it is damaged (there is no frame)")
        return ImageHeader(gif.data, ("GIF",), _GIF_COST, size=gif.size, gif=gif)
    if webp_chunks.is_webp(data):
        return _parse_webp(data, limits)
    if data[4:8] == boxes.FIRST_BOX:
        boxed = boxes.parse(data, limits)
        return ImageHeader(
            boxed.data,
            ("HEIF", "AVIF"),
            _BOXED_COST,
            size=boxed.size,
            needs_isolation=True,
            orientation=None,
        )
    bmp = data if data[:2] == b"BM" else bitmap.add_file_header(data)
    if not bmp:
        raise UnreadableImageError(image_formats.describe_unreadable(data))
    cost = _RUN_LENGTH_BMP_COST if bitmap.has_run_lengths(bmp) else _BMP_COST
    return ImageHeader(bmp, ("BMP",), cost)


def _parse_jpeg(data: bytes, limits: ImageLimits) -> ImageHeader:
    jpeg = jpeg_segments.parse(data, limits)
    return ImageHeader(
        jpeg.data,
        ("JPEG",),
        Cost(
            bytes_per_pixel=_JPEG_BYTES_PER_PIXEL,
            bytes_per_stored_pixel=jpeg.coefficient_bytes,
            pixel_nanoseconds=_JPEG_NANOSECONDS + _SCAN_NANOSECONDS * jpeg.scans,
        ),
        orientation=exif.read_orientation(jpeg.exif),
        variant=jpeg.kind,
    )


def _parse_webp(data: bytes, limits: ImageLimits) -> ImageHeader:
    size = webp_chunks.read_size(data)
    if not size:
        raise UnreadableImageError("it is damaged (there is no size)")
    webp = webp_chunks.parse(data, limits)
    return ImageHeader(
        data,
        ("WEBP",),
        _WEBP_COST,
        size=size,
        # The codes of lossless pixels can take more memory than all pixels.
        needs_isolation=not webp.is_lossy,
        orientation=exif.read_orientation(webp.exif.removeprefix(_EXIF_PREFIX)),
    )

"""Reads what an image file states besides its pixels: format, size, orientation, transparency."""

import math
from typing import NamedTuple

from retrain.data import av1_size, bitmap, exif, gif_frame, image_limits, jpeg_segments, png_chunks
from retrain.data.gif_frame import GifFile
from retrain.data.image_limits import Size
from retrain.data.png_chunks import PngFile

_FIRST_BOX = b"ftyp"
_ISPE_BYTES = 12
_MAX_BOXES = 100_000
# Some programs also write this prefix of JPEG files to WebP files.
_EXIF_PREFIX = b"Exif\0\0"


class ImageHeader(NamedTuple):
    """What an image file states besides its pixels.

    Attributes:
        data: Content of the file, without the parts that a decoder does not need.
        formats: Names of the decoders to try, in Pillow's terms.
        size: Width and height that the decoder allocates memory for when it opens the file, or
            None if it allocates nothing until it decodes the pixels.
        orientation: Exif orientation, 1 to 8, or None if the decoder states it.
        png: Chunks, if it is a PNG file.
        gif: First frame, if it is a GIF file.
        variant: Name of an unusual variant of its format, or "".
    """

    data: bytes
    formats: tuple[str, ...]
    size: Size | None = None
    orientation: int | None = exif.UPRIGHT
    png: PngFile | None = None
    gif: GifFile | None = None
    variant: str = ""


class DamagedHeaderError(Exception):
    """The header does not state the size. The message gives the reason."""


def parse(data: bytes) -> ImageHeader | None:
    """Returns what a file states, or None if its first bytes are of no format that can be decoded.

    Raises:
        DamagedHeaderError: If the size is missing in a format whose decoder allocates memory for
            all pixels when it opens the file.
    """
    if data.startswith(jpeg_segments.START):
        jpeg = jpeg_segments.parse(data)
        orientation = exif.read_orientation(jpeg.exif)
        return ImageHeader(jpeg.data, ("JPEG",), orientation=orientation, variant=jpeg.kind)
    if data.startswith(png_chunks.MAGIC):
        png = png_chunks.parse(data)
        orientation = exif.read_orientation(png.exif)
        return ImageHeader(png.data, ("PNG",), orientation=orientation, png=png)
    if data.startswith(gif_frame.MAGIC):
        gif = gif_frame.parse(data)
        if not gif:
            raise DamagedHeaderError("there is no frame")
        return ImageHeader(gif.data, ("GIF",), size=gif.size, gif=gif)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        size = image_limits.webp_size(data)
        if not size:
            raise DamagedHeaderError("there is no size")
        block = image_limits.webp_chunk(data, b"EXIF").removeprefix(_EXIF_PREFIX)
        orientation = exif.read_orientation(block)
        return ImageHeader(data, ("WEBP",), size=size, orientation=orientation)
    if data[4:8] == _FIRST_BOX:
        return _parse_boxes(data)
    bmp = data if data[:2] == b"BM" else bitmap.add_file_header(data)
    return ImageHeader(bmp, ("BMP",)) if bmp else None


def _parse_boxes(data: bytes) -> ImageHeader:
    largest: Size | None = None
    has_av1, items = False, None
    for number, (kind, start, end) in enumerate(image_limits.boxes(data)):
        if number == _MAX_BOXES:
            raise DamagedHeaderError(f"there are more than {_MAX_BOXES:,} boxes")
        if kind == b"ispe" and end - start >= _ISPE_BYTES:
            largest = max(largest or (0, 0), image_limits.read_size(data, start), key=math.prod)
        elif kind == b"av1C":
            has_av1 = True
        elif kind == b"iinf" and not items:
            items = start, end
    if has_av1:
        largest = max(largest or (0, 0), (0, 0), *av1_size.frame_sizes(data), key=math.prod)
    if items:
        # Decoders find the Exif block by this type of item. They take the orientation from other
        # boxes, but a damaged block would make them fail.
        start, end = items
        data = data[:start] + data[start:end].replace(b"Exif", b"skip") + data[end:]
    return ImageHeader(data, ("HEIF", "AVIF"), size=largest, orientation=None)

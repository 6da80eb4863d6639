"""Converts decoded images of all kinds to RGB.

See steps 1, 2 and 4 in the docstring of `retrain.data.pixels`.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFile

from retrain.data import png_chunks, transparency
from retrain.data.gif_frame import GifFile
from retrain.data.png_chunks import PngFile

Warn = Callable[[str], None]

# Greyscale images whose values use fewer of 16 bits are nearly black.
_DARK_BITS = 12
# The mask for alpha in headers of BMP files that are long enough.
_BMP_HEADER_START, _BMP_HEADER_WITH_MASK = 14, 56
_BMP_MASK = slice(66, 70)


def png_to_rgb(image: ImageFile.ImageFile, png: PngFile, warn: Warn) -> Image.Image:
    """Returns a PNG image on white. `warn` is called if the image is nearly black."""
    if png.bits == 16 and png.colour_type == png_chunks.GREY:
        return _wide_grey_to_rgb(image, png, warn)
    if not png.transparency:
        return _opaque_to_rgb(image)
    alphas = np.full(256, 255, np.uint8)
    if png.colour_type == png_chunks.PALETTE:
        alphas[: len(png.transparency)] = list(png.transparency)
        return transparency.composite_palette(image, alphas)
    samples = np.frombuffer(png.transparency, ">u2").astype(int)
    if png.colour_type == png_chunks.GREY:
        largest = 2**png.bits - 1
        alphas[(samples[0] & largest) * 255 // largest] = 0
        return transparency.composite_palette(image.convert("L"), alphas)
    rgb = _convert(image)
    if png.bits == 16:
        transparency.whiten(rgb, samples, _low_bytes(png))
    else:
        transparency.whiten(rgb, samples & 255)
    return rgb


def gif_to_rgb(image: ImageFile.ImageFile, gif: GifFile) -> Image.Image:
    """Returns the first frame of a GIF file on a white canvas."""
    image.load()
    image.info.pop("transparency", None)
    alphas = np.full(256, 255, np.uint8)
    if gif.transparency is not None:
        alphas[gif.transparency] = 0
    if gif.box == (0, 0, *gif.size):
        return transparency.composite_palette(image, alphas)
    canvas = Image.new("RGB", gif.size, "white")
    canvas.paste(transparency.composite_palette(image.crop(gif.box), alphas), gif.box)
    return canvas


def other_to_rgb(image: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """Returns an image of another format on white."""
    if image.format == "BMP" and image.mode == "RGBA" and not _has_alpha(image, data):
        return image.convert("RGB")
    return _opaque_to_rgb(image)


def without_compositing(image: ImageFile.ImageFile) -> Image.Image:
    """Returns the colours of an image as version 1 of the preprocessing does."""
    if image.mode.startswith("I"):
        return _high_bytes(np.asarray(image))
    image.load()
    # Pillow would warn of some kinds of transparency.
    image.info.pop("transparency", None)
    return _convert(image)


def _opaque_to_rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        return transparency.composite(image)
    return _convert(image)


def _convert(image: Image.Image) -> Image.Image:
    """Returns an RGB image, which is `image` itself if possible. Pillow would copy it."""
    # Some decoders determine the mode when they decode the pixels.
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def _wide_grey_to_rgb(image: Image.Image, png: PngFile, warn: Warn) -> Image.Image:
    # Pillow would clip 16-bit greyscale at 255.
    values = np.asarray(image)
    largest = int(values.max())
    if png.significant_bits < png.bits and largest < 2**png.significant_bits:
        surplus = png.significant_bits - 8
        values_of_8_bits = values >> surplus if surplus > 0 else values << -surplus
        grey = Image.fromarray(values_of_8_bits.astype(np.uint8)).convert("RGB")
    else:
        if 0 < largest < 2**_DARK_BITS:
            warn(
                f"nearly black, because its greyscale values of 16 bits are at most {largest} and "
                "no sBIT chunk states how many bits count; scale the values to 65535"
            )
        grey = _high_bytes(values)
    if png.transparency:
        matches = values == int.from_bytes(png.transparency, "big")
        grey.paste("white", (0, 0), Image.fromarray(matches))
    return grey


def _high_bytes(values: np.ndarray) -> Image.Image:
    return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")


def _low_bytes(png: PngFile) -> Image.Image:
    """Decodes the low bytes of an RGB image with 16 bits per sample."""
    image = Image.open(io.BytesIO(png.data), formats=("PNG",))
    # The name of Pillow's decoder of the high bytes of numbers in the opposite byte order.
    image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
    return _convert(image)


def _has_alpha(image: Image.Image, data: bytes) -> bool:
    """Returns whether a BMP image has an alpha channel. Many programs write zeros in its place."""
    header_bytes = int.from_bytes(data[_BMP_HEADER_START : _BMP_HEADER_START + 4], "little")
    has_mask = header_bytes >= _BMP_HEADER_WITH_MASK and any(data[_BMP_MASK])
    return has_mask and image.getchannel("A").getbbox() is not None

"""Names the format of an image file, and the properties that not every decoder supports."""

from collections.abc import Iterator

from PIL import Image

from retrain.data import pixels

# Values of the field `biCompression` in the header of a BMP file.
_BMP_RUN_LENGTHS, _BMP_MASKS = (1, 2), 3
_BMP_CORE_HEADER = 12


def name_variant(data: bytes) -> str:
    """Returns a name such as "BMP with a palette", or "PNG" for a file without such properties.

    Args:
        data: Content of an image file.
    """
    try:
        image = pixels.open_image(data)
    except pixels.UnreadableImageError:
        return "other files"
    name = image.format or "other files"
    properties = list(_properties(image, data))
    return f"{name} with {', '.join(properties)}" if properties else name


def _properties(image: Image.Image, data: bytes) -> Iterator[str]:
    if image.format == "BMP":
        yield from _bmp_properties(data)
    elif image.format == "GIF":
        (tile,) = image.tile  # type: ignore[attr-defined]
        if tile.extents != (0, 0, *image.size):
            yield "a first frame smaller than the screen"
        if tile.args[1]:
            yield "interlaced lines"
    elif image.mode.startswith("I"):
        yield "16 bits"
    elif image.mode == "CMYK":
        yield "CMYK colours"
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):
        yield "transparency"


def _bmp_properties(data: bytes) -> Iterator[str]:
    def number(start: int, length: int) -> int:
        return int.from_bytes(data[start : start + length], "little")

    core = number(14, 4) == _BMP_CORE_HEADER
    bits = number(24, 2) if core else number(28, 2)
    compression = 0 if core else number(30, 4)
    if bits <= 8:
        yield "a palette"
    elif bits != 24:
        yield f"{bits} bits"
    if compression in _BMP_RUN_LENGTHS:
        yield "run-length encoding"
    elif compression == _BMP_MASKS:
        yield "masks"
    if not core and data[25] & 0x80:
        yield "lines from top to bottom"

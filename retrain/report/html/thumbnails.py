"""Makes small copies of images that a page can contain."""

import base64
import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from retrain.data import image_reader, pixels
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map

_QUALITY = 70
# Of an image that is longer than so many times its other side, the middle is shown.
_MAX_ASPECT = 4


def encode_all(paths: Iterable[Path], *, side: int, max_bytes: int) -> dict[Path, str]:
    """Returns data URLs of thumbnails, as many as there is room for.

    Images that cannot be read any more are left out.

    Args:
        paths: Files of the images, the most important ones first.
        side: Longest side of a thumbnail in pixels.
        max_bytes: Maximum number of bytes of all data URLs.
    """
    urls: dict[Path, str] = {}
    unique = list(dict.fromkeys(paths))
    encoded = parallel_map(lambda path: _encode(path, side), unique, processor_count())
    for path, data in zip(unique, encoded, strict=True):
        if data is None:
            continue
        url = to_url(data)
        max_bytes -= len(url)
        if max_bytes < 0:
            break
        urls[path] = url
    return urls


def encode_pixels(image: Image.Image) -> bytes:
    """Returns an image as JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def to_url(jpeg: bytes) -> str:
    """Returns a data URL with a JPEG file."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _encode(path: Path, side: int) -> bytes | None:
    """Returns a thumbnail as JPEG, or None if the image cannot be read."""
    try:
        upright = pixels.decode_upright(image_reader.read(path), side, side)
    except (OSError, pixels.UnreadableImageError):
        return None
    longest = _MAX_ASPECT * min(upright.size)
    left, top = max(0, upright.width - longest) // 2, max(0, upright.height - longest) // 2
    cropped = upright.crop((left, top, upright.width - left, upright.height - top))
    cropped.thumbnail((side, side), Image.Resampling.BILINEAR)
    return encode_pixels(cropped)

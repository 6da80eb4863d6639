"""Training images of which a new variant is wanted in every epoch.

They are decoded once and kept in memory, at the size that the smallest crop needs. What does not
fit there is decoded anew each time, so that memory is bounded, however many images there are.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from retrain.config import DistortionOptions
from retrain.data import distortions, pixels
from retrain.data.dataset import ImageFile
from retrain.data.distortions import Draw
from retrain.errors import UserError

_MOST_BYTES = 1 << 30

_Result = TypeVar("_Result")


class Images:
    """Images, each of which can be had in any variant, by any number of threads."""

    def __init__(
        self,
        images: Sequence[ImageFile],
        height: int,
        width: int,
        options: DistortionOptions,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        """Reads nothing yet.

        Args:
            images: the files.
            height: of the variants, in pixels.
            width: of the variants, in pixels.
            options: how much to distort.
            most_bytes: how much memory may be taken by images that are kept.
        """
        self._images = images
        self._height = height
        self._width = width
        self._options = options
        self._kept: dict[int, np.ndarray] = {}
        self._bytes_left = most_bytes
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._images)

    def variant(self, row: int, draw: Draw) -> np.ndarray:
        """Returns image number `row` distorted, uint8 [height, width, 3], RGB.

        Raises:
            UserError: it cannot be read any more.
        """
        kept = self._kept.get(row)
        large = self._decoded(row) if kept is None else Image.fromarray(kept)
        return distortions.distort(large, self._height, self._width, self._options, draw)

    def _decoded(self, row: int) -> Image.Image:
        large = _read(
            self._images[row].path,
            lambda data: distortions.roomy(data, self._height, self._width, self._options),
        )
        size = 3 * large.width * large.height
        with self._lock:
            if size <= self._bytes_left:
                self._bytes_left -= size
                # Pillow's own images take four bytes a pixel.
                self._kept[row] = np.asarray(large)
        return large


def undistorted(image: ImageFile, height: int, width: int) -> np.ndarray:
    """Returns the image as the network sees it, uint8 [height, width, 3], RGB.

    Raises:
        UserError: it cannot be read any more.
    """
    return _read(image.path, lambda data: pixels.decode(data, height, width))


def _read(path: Path, decode: Callable[[bytes], _Result]) -> _Result:
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read any more: {error.strerror}") from error
    except pixels.UnreadableImageError as error:
        raise UserError(f"{path} cannot be read any more: {error}") from error

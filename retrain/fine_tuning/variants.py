"""Provides distorted variants of training images, different ones in every epoch.

Each image is decoded once and kept in memory, at the size that its smallest crop needs. Images that
exceed the memory limit are decoded again for each variant.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from retrain.data import distortions, image_reader, pixels
from retrain.data.dataset import ImageFile
from retrain.data.distortions import Distortion
from retrain.errors import UserError
from retrain.metadata import STRETCH
from retrain.training_options import DistortionOptions

_MAX_BYTES = 1 << 30

_Result = TypeVar("_Result")


class VariantSource:
    """Computes any variant of any image, in any number of threads."""

    def __init__(
        self,
        images: Sequence[ImageFile],
        height: int,
        width: int,
        options: DistortionOptions,
        *,
        fit: str = STRETCH,
        max_bytes: int = _MAX_BYTES,
    ) -> None:
        """Stores the arguments; images are read when their first variant is computed.

        Args:
            images: The image files.
            height: Height of the variants in pixels.
            width: Width of the variants in pixels.
            options: Limits of the distortions.
            fit: See `pixels.decode`.
            max_bytes: Maximum size of all decoded images in memory.
        """
        self._images = images
        self._height = height
        self._width = width
        self._options = options
        self._fit = fit
        self._decoded: dict[int, np.ndarray] = {}
        self._bytes_left = max_bytes
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._images)

    def variant(self, row: int, distortion: Distortion) -> np.ndarray:
        """Returns a variant of image number `row`, uint8 [height, width, 3], RGB.

        Raises:
            UserError: If the image cannot be read.
        """
        decoded = self._decoded.get(row)
        image = self._decode(row) if decoded is None else Image.fromarray(decoded)
        return distortions.distort(
            image, distortion, self._options, height=self._height, width=self._width
        )

    def _decode(self, row: int) -> Image.Image:
        image = _read(
            self._images[row].path,
            lambda data: distortions.decode_for_cropping(
                data, self._options, height=self._height, width=self._width, fit=self._fit
            ),
        )
        size = 3 * image.width * image.height
        with self._lock:
            if size <= self._bytes_left:
                self._bytes_left -= size
                # A Pillow image takes four bytes per pixel, an array three.
                self._decoded[row] = np.asarray(image)
        return image


def decode_undistorted(
    image: ImageFile, height: int, width: int, *, fit: str = STRETCH
) -> np.ndarray:
    """Returns the image as every backbone receives it, uint8 [height, width, 3], RGB.

    Raises:
        UserError: If the image cannot be read.
    """
    return _read(image.path, lambda data: pixels.decode(data, height, width, fit=fit))


def _read(path: Path, decode: Callable[[bytes], _Result]) -> _Result:
    try:
        return decode(image_reader.read(path))
    except OSError as error:
        raise UserError(f"{path} can no longer be read: {error.strerror}") from error
    except pixels.UnreadableImageError as error:
        raise UserError(f"{path} can no longer be read: {error}") from error

"""Reads and decodes images for a classifier, as they were decoded for its training."""

import dataclasses
from pathlib import Path

import numpy as np

from retrain.data import image_reader, pixels
from retrain.data.image_limits import ImageLimits

Source = Path | bytes


@dataclasses.dataclass(frozen=True)
class ImageDecoding:
    """How the images for a classifier are decoded.

    Attributes:
        height: Height of the network's input in pixels.
        width: Width of the network's input in pixels.
        fit: Handling of another aspect ratio; see `pixels.decode`.
        preprocessing_version: Version of the preprocessing; see `pixels.decode`.
        limits: Budget of each image.
    """

    height: int
    width: int
    fit: str
    preprocessing_version: int
    limits: ImageLimits

    def read(self, source: Source) -> bytes:
        """Returns the content of an image file.

        Args:
            source: Path or content of the file.

        Raises:
            UnreadableImageError: If the file cannot be read.
        """
        if isinstance(source, bytes):
            return source
        try:
            return image_reader.read(source, self.limits)
        except IsADirectoryError as error:
            raise pixels.UnreadableImageError(
                "it is a folder; //tools:guess_dir labels the images in a folder"
            ) from error
        except OSError as error:
            raise pixels.UnreadableImageError(error.strerror or str(error)) from error

    def decode(self, data: bytes) -> np.ndarray:
        """Returns the network's input, uint8 [height, width, 3], RGB, for an image file's content.

        Raises:
            UnreadableImageError: If the image cannot be decoded or exceeds the budget.
        """
        return pixels.decode(
            data,
            self.height,
            self.width,
            fit=self.fit,
            preprocessing_version=self.preprocessing_version,
            limits=self.limits,
        )

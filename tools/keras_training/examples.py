"""Holds the decoded images or bottlenecks of a training in arrays."""

import hashlib
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrain.errors import UserError
from retrain.report import image_grid
from tools.keras_training.image_shape import ImageShape

# Larger arrays are memory-mapped files, of which the system keeps in memory what fits.
_MAX_BYTES_IN_MEMORY = 1 << 30
_BYTES_PER_WRITE = 1 << 20


@dataclass(frozen=True)
class Examples:
    """Images or bottlenecks with their classes.

    Attributes:
        inputs: Images uint8 [N, height, width, channels], or bottlenecks float16
            [N, feature_width].
        class_ids: Indices of the labels, int64 [N].
    """

    inputs: np.ndarray
    class_ids: np.ndarray

    def sample(self, count: int) -> "Examples":
        """Returns up to `count` examples, about the same number of each class, in class order."""
        rows = image_grid.sample_per_class(self.class_ids, count)
        return Examples(self.inputs[rows], self.class_ids[rows])


@dataclass(frozen=True)
class TrainingData:
    """The examples of a training.

    Attributes:
        labels: Labels of the classes, in the order of the network's output.
        folders: Name of the folder of each class.
        train: Training examples.
        validation: Validation examples.
        preview: Some training images to plot, uint8 [M, height, width, channels].
    """

    labels: tuple[str, ...]
    folders: tuple[str, ...]
    train: Examples
    validation: Examples
    preview: Examples

    def fingerprint(self) -> str:
        """Returns a hash of the labels and all examples except the preview."""
        digest = hashlib.sha256(repr(self.labels).encode())
        for examples in (self.train, self.validation):
            digest.update(repr((examples.inputs.shape, examples.inputs.dtype)).encode())
            digest.update(examples.class_ids.tobytes())
            for start in range(0, len(examples.inputs), 1024):
                digest.update(examples.inputs[start : start + 1024].tobytes())
        return digest.hexdigest()


def allocate_images(count: int, shape: ImageShape) -> Any:
    """Returns an array for images, uint8 [count, height, width, channels].

    A large array is backed by a temporary file.

    Raises:
        UserError: If the disk is full.
    """
    size = count * int(np.prod(shape, dtype=np.int64))
    if size <= _MAX_BYTES_IN_MEMORY:
        return np.empty((count, *shape), np.uint8)
    try:
        with tempfile.TemporaryFile() as file:
            # Writing to a sparse memory-mapped file kills the process if the disk is full.
            for start in range(0, size, _BYTES_PER_WRITE):
                file.write(bytes(min(_BYTES_PER_WRITE, size - start)))
            file.flush()
            return np.memmap(file, np.uint8, "r+", shape=(count, *shape))
    except OSError as error:
        raise UserError(
            f"the decoded images need {size / 2**30:.1f} GiB in {tempfile.gettempdir()}: "
            f"{error.strerror}; free some space, or set TMPDIR to a folder with more space"
        ) from error

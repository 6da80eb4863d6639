"""What a network learns from and is judged by."""

import hashlib
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrain.errors import UserError
from retrain.report import plots

# More than that is kept in a file, of which the machine holds in memory what fits.
_BYTES_IN_MEMORY = 1 << 30
_BYTES_AT_A_TIME = 1 << 20


@dataclass(frozen=True)
class Examples:
    """Some images, or their bottlenecks.

    Attributes:
        inputs: uint8 [N, height, width, channels], or float16 [N, feature_width].
        class_ids: int64 [N].
    """

    inputs: np.ndarray
    class_ids: np.ndarray

    def sample(self, count: int) -> "Examples":
        """Returns some of them, about as many of each class, in the order of these."""
        rows = plots.some_of_each(self.class_ids, count)
        return Examples(self.inputs[rows], self.class_ids[rows])


@dataclass(frozen=True)
class Data:
    """All that a training needs to know of its images.

    Attributes:
        labels: of the classes.
        folders: name of the folder of each.
        train: to learn from.
        validation: to be judged by.
        shown: some of those to learn from, as images, uint8 [M, height, width, channels].
    """

    labels: tuple[str, ...]
    folders: tuple[str, ...]
    train: Examples
    validation: Examples
    shown: Examples

    def fingerprint(self) -> str:
        """Returns a text that is another for other examples or labels."""
        digest = hashlib.sha256(repr(self.labels).encode())
        for examples in (self.train, self.validation):
            digest.update(repr((examples.inputs.shape, examples.inputs.dtype)).encode())
            digest.update(examples.class_ids.tobytes())
            for batch in range(0, len(examples.inputs), 1024):
                digest.update(examples.inputs[batch : batch + 1024].tobytes())
        return digest.hexdigest()


def room(shape: tuple[int, ...]) -> Any:
    """Returns an array of type uint8, in memory or, where it is large, in a temporary file.

    Raises:
        UserError: there is no room on the disk.
    """
    size = int(np.prod(shape, dtype=np.int64))
    if size <= _BYTES_IN_MEMORY:
        return np.empty(shape, np.uint8)
    try:
        with tempfile.TemporaryFile() as file:
            # Or writing to the array would kill the program when the disk is full.
            for begin in range(0, size, _BYTES_AT_A_TIME):
                file.write(bytes(min(_BYTES_AT_A_TIME, size - begin)))
            file.flush()
            return np.memmap(file, np.uint8, "r+", shape=shape)
    except OSError as error:
        raise UserError(
            f"the decoded images need {size / 2**30:.1f} GiB in {tempfile.gettempdir()}: "
            f"{error.strerror}; make room, or set TMPDIR to a folder with more"
        ) from error

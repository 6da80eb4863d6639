"""How a file that was written answers: what every kind of export says of itself to be checked."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class UndecodedError(Exception):
    """The file's own decoder does not read an image that programs with Pillow do read."""


class Answers(NamedTuple):
    """A classifier that was read back from its file.

    Attributes:
        from_pixels: uint8 [N, height, width, 3], RGB, to probabilities, float32 [N, classes].
        from_file: the bytes of an image's file to probabilities, float32 [classes], with the
            decoder in the file; it raises UndecodedError. None where the file has no decoder.
    """

    from_pixels: Callable[[np.ndarray], np.ndarray]
    from_file: Callable[[bytes], np.ndarray] | None = None

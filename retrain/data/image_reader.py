"""Reads image files, which are refused if they are too large or not files."""

from pathlib import Path

from retrain.data.image_limits import DEFAULT_LIMITS, ImageLimits
from retrain.system.files.regular_files import read_regular_file


def read(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """Returns the content of an image file.

    Raises:
        OSError: If the path is not a file, or the file cannot be read or is too large. `strerror`
            says why.
    """
    return read_regular_file(path, limits.file_bytes)

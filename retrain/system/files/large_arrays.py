"""Creates arrays that can be larger than the memory."""

import math
import os
import tempfile
from pathlib import Path

import numpy as np

from retrain.system.files.write_errors import as_user_error

# Smaller arrays are in memory on every machine.
_MIN_FILE_BYTES = 1 << 30
# Larger arrays leave too little memory for what is computed with them.
_MAX_MEMORY_FRACTION = 0.25


def create_array(shape: tuple[int, ...], dtype: type, folder: Path) -> np.ndarray:
    """Returns an array with undefined content, in memory or in a temporary file.

    The system keeps the parts of the file that are in use in memory, and writes others to the disk.
    The file has no name, and is gone when the array is.

    Args:
        shape: Shape of the array.
        dtype: Type of its elements.
        folder: Folder for the file. It must exist.

    Raises:
        UserError: If there is too little space for the file.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < _MIN_FILE_BYTES or size < _MAX_MEMORY_FRACTION * _memory_bytes():
        return np.empty(shape, dtype)
    with as_user_error(folder), tempfile.TemporaryFile(dir=folder) as file:
        # Without space that is reserved, a full disk would end the process without a message.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return np.asarray(np.memmap(file, dtype, "r+", shape=shape))


def _memory_bytes() -> float:
    """Returns the size of the memory that this process can use, within its container's limit."""
    limits = [math.inf]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(int(Path(file).read_text()))
        except (OSError, ValueError):
            continue
    return min(limits)

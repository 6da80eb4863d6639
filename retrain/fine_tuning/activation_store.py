"""Keeps activations on the disk, so that several epochs can use them."""

import contextlib
import logging
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from retrain.system.files.private_files import create_private_folders

# The rest of the free space is left to other programs, and to the outputs of this one.
_MAX_SHARE_OF_FREE_SPACE = 0.25


class ActivationStore:
    """Blocks of arrays, one array for each image. A context manager.

    The blocks are in files without a name, which vanish when the program ends, however it ends.
    While there is enough memory, the operating system keeps their content there. Without enough
    space on the disk, one line is logged, and nothing more is kept.
    """

    def __init__(self, folder: Path) -> None:
        """Stores the argument.

        Args:
            folder: Folder for the files.
        """
        self._folder = folder
        self._files = contextlib.ExitStack()
        self._blocks: dict[int, _Block] = {}
        self._is_full = False

    def __enter__(self) -> "ActivationStore":
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def is_complete(self, key: int) -> bool:
        """Returns whether all arrays of a block were saved."""
        return key in self._blocks and bool(self._blocks[key].saved.all())

    def load(self, key: int, rows: np.ndarray) -> np.ndarray:
        """Returns arrays of a complete block.

        Args:
            key: Key of the block.
            rows: Numbers of the arrays, int [N].
        """
        return self._blocks[key].load(rows)

    def save(self, key: int, rows: np.ndarray, arrays: np.ndarray, *, count: int) -> None:
        """Keeps arrays, if there is enough space on the disk.

        Args:
            key: Key of the block.
            rows: Numbers of the arrays, int [N], from 0 to below `count`.
            arrays: The arrays, [N, ...]. All arrays of a block have the same shape and type.
            count: Number of all arrays of this block.
        """
        if self._is_full:
            return
        try:
            if key not in self._blocks:
                self._blocks[key] = self._create(arrays[0], count)
            self._blocks[key].save(rows, arrays)
        except OSError as error:
            self._is_full = True
            logging.warning(
                "%s cannot hold the results of the layers that are not trained (%s); each epoch "
                "computes them again, which takes longer.",
                self._folder,
                error.strerror,
            )

    def _create(self, array: np.ndarray, count: int) -> "_Block":
        create_private_folders(self._folder)
        size, free = array.nbytes * count, shutil.disk_usage(self._folder).free
        if size > _MAX_SHARE_OF_FREE_SPACE * free:
            raise OSError(0, f"{size / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free")
        file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115
        self._files.enter_context(file)
        return _Block(file.fileno(), array, count)


class _Block:
    """Arrays of the same shape and type in a file."""

    def __init__(self, file: int, array: np.ndarray, count: int) -> None:
        self.saved = np.zeros(count, bool)
        self._file = file
        self._shape, self._dtype, self._size = array.shape, array.dtype, array.nbytes

    def load(self, rows: np.ndarray) -> np.ndarray:
        content = b"".join(
            os.pread(self._file, self._size, row * self._size) for row in rows.tolist()
        )
        return np.frombuffer(content, self._dtype).reshape(len(rows), *self._shape)

    def save(self, rows: np.ndarray, arrays: np.ndarray) -> None:
        for row, array in zip(rows.tolist(), arrays, strict=True):
            if os.pwrite(self._file, array.tobytes(), row * self._size) != self._size:
                raise OSError(0, "the disk is full")
        self.saved[rows] = True

"""Reads images from remote storage before they are needed, many at a time."""

import errno
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from retrain.data.image_limits import DEFAULT_LIMITS
from retrain.shards.shard_files import VERSION_COLUMNS
from retrain.shards.storage import Storage, StoredFile
from retrain.system.files.regular_files import open_regular_file, read_bounded

# Reading from object storage takes 10 to 100 ms, in which a processor decodes several images.
_THREADS = 16
_MAX_IMAGES = 128
_MAX_BYTES = 64_000_000
_CHANGED = "it changed during this run"


class ImageReader:
    """Reads the images of a chunk. A context manager. Several threads can use it.

    Local files are read when they are needed: the system reads ahead.
    """

    def __init__(self, storage: Storage, images: Any) -> None:
        """Starts to read.

        Args:
            storage: Folder of the images.
            images: Arrow table with the columns of `image_table`.
        """
        self._storage = storage
        rows = images.select(VERSION_COLUMNS).to_pylist()
        self._files = [StoredFile(**row) for row in rows]
        self._names = [file.name for file in self._files]
        self._sizes = [file.size for file in self._files]
        self._lock = threading.Lock()
        self._pending: dict[int, Future[bytes]] = {}
        self._next = 0
        self._waiting_bytes = 0
        self._pool = None if storage.is_local else ThreadPoolExecutor(_THREADS)

    def __enter__(self) -> "ImageReader":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def read(self, row: int) -> bytes:
        """Returns the content of the image with an index. Each image can be read once.

        Raises:
            OSError: If the image does not exist, is too large, has changed since it was listed or,
                in a local folder, cannot be read.
            UserError: If the storage cannot be used.
        """
        if self._pool is None:
            with open_regular_file(self._storage.path(self._names[row])) as file:
                data = read_bounded(file, DEFAULT_LIMITS.file_bytes)
            # Otherwise a result would be stored for a version that it is not of.
            if self._storage.describe_file(self._names[row]) != self._files[row]:
                raise OSError(errno.ESTALE, _CHANGED)
            return data
        with self._lock:
            self._read_ahead(row)
            future = self._pending.pop(row)
        try:
            return future.result()
        finally:
            with self._lock:
                self._waiting_bytes -= self._sizes[row]

    def _read_ahead(self, row: int) -> None:
        assert self._pool is not None
        while self._next < len(self._names) and (
            self._next <= row
            or (len(self._pending) < _MAX_IMAGES and self._waiting_bytes < _MAX_BYTES)
        ):
            self._pending[self._next] = self._pool.submit(self._fetch, self._next)
            self._waiting_bytes += self._sizes[self._next]
            self._next += 1

    def _fetch(self, row: int) -> bytes:
        if self._sizes[row] > DEFAULT_LIMITS.file_bytes:
            raise OSError(
                errno.EFBIG,
                f"it has {self._sizes[row]:,} bytes, more than the limit of "
                f"{DEFAULT_LIMITS.file_bytes:,}",
            )
        data = self._storage.read(self._names[row])
        if len(data) != self._sizes[row]:
            raise OSError(errno.ESTALE, _CHANGED)
        return data

"""Limits how many requests the server works on at once and how many wait for a worker."""

import contextlib
import threading
import time
from collections.abc import Iterator


class BusyError(Exception):
    """The server cannot take the request now. The message says why."""


class WorkQueue:
    """Admits a limited number of requests and lends them workers. Thread-safe."""

    def __init__(self, workers: int, *, max_waiting: int, timeout: float) -> None:
        """Creates an empty queue.

        Args:
            workers: Maximum number of images to label at the same time.
            max_waiting: Maximum number of admitted requests without a worker.
            timeout: Seconds after its admission until which a request can get a worker.
        """
        self.timeout = timeout
        self._max_admitted = workers + max_waiting
        self._idle_workers = threading.Semaphore(workers)
        self._lock = threading.Lock()
        self._admitted = 0
        self._working = 0

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a worker."""
        return max(0, self._admitted - self._working)

    @property
    def working(self) -> int:
        """Number of workers that label an image."""
        return self._working

    @contextlib.contextmanager
    def admit(self) -> Iterator["Ticket"]:
        """Admits a request until the end of the block.

        Raises:
            BusyError: If too many requests are waiting.
        """
        with self._lock:
            if self._admitted >= self._max_admitted:
                raise BusyError(f"{self._admitted} requests are already waiting")
            self._admitted += 1
        try:
            yield Ticket(self, time.monotonic() + self.timeout)
        finally:
            with self._lock:
                self._admitted -= 1

    @contextlib.contextmanager
    def worker(self, deadline: float) -> Iterator[None]:
        """Occupies a worker until the end of the block.

        Args:
            deadline: Time of `time.monotonic` until which to wait for a worker.

        Raises:
            BusyError: If no worker becomes free in time.
        """
        if not self._idle_workers.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise BusyError(f"no worker became free in {self.timeout:g} seconds")
        with self._lock:
            self._working += 1
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1
            self._idle_workers.release()


class Ticket:
    """The admission of one request, which can have several images."""

    def __init__(self, queue: WorkQueue, deadline: float) -> None:
        self._queue = queue
        self._deadline = deadline

    def worker(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context manager that occupies a worker for one image.

        A request gives its worker back after each image, so that other requests get a turn.

        Raises:
            BusyError: On entry, if no worker becomes free in time.
        """
        return self._queue.worker(self._deadline)

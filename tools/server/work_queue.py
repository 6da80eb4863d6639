"""Who waits and who works: so many requests at a time, so many more that wait, the others go."""

import contextlib
import threading
import time
from collections.abc import Iterator


class BusyError(Exception):
    """The request cannot be served now; the message says why."""


class WorkQueue:
    """Lets requests wait for one of the workers, but not too many, and not for ever.

    Any number of threads may use it.
    """

    def __init__(self, workers: int, length: int, seconds: float) -> None:
        """Makes an empty queue.

        Args:
            workers: how many images are labelled at the same time.
            length: how many requests may wait beside those that are served.
            seconds: how long after it came a request may still be given a worker.
        """
        self.seconds = seconds
        self._places = workers + length
        self._idle = threading.Semaphore(workers)
        self._lock = threading.Lock()
        self._present = 0
        self._working = 0

    @property
    def waiting(self) -> int:
        """How many requests wait for a worker."""
        return max(0, self._present - self._working)

    @property
    def working(self) -> int:
        """How many workers label an image."""
        return self._working

    @contextlib.contextmanager
    def place(self) -> Iterator["Place"]:
        """Yields the place of a request, which is free again after the block.

        Raises:
            BusyError: all places are taken.
        """
        with self._lock:
            if self._present >= self._places:
                raise BusyError(f"{self._present} requests are waiting already")
            self._present += 1
        try:
            yield Place(self, time.monotonic() + self.seconds)
        finally:
            with self._lock:
                self._present -= 1

    @contextlib.contextmanager
    def worker(self, until: float) -> Iterator[None]:
        """Gives the block one of the workers, before the clock `time.monotonic` says `until`.

        Raises:
            BusyError: none became free in time.
        """
        if not self._idle.acquire(timeout=max(0.0, until - time.monotonic())):
            raise BusyError(f"no worker became free in {self.seconds:g} seconds")
        with self._lock:
            self._working += 1
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1
            self._idle.release()


class Place:
    """The place of one request, which may have several images."""

    def __init__(self, queue: WorkQueue, until: float) -> None:
        self._queue = queue
        self._until = until

    def turn(self) -> contextlib.AbstractContextManager[None]:
        """Returns what gives a block a worker, for one image, so that others have their turn.

        Raises:
            BusyError: on entering, none became free in time.
        """
        return self._queue.worker(self._until)

"""Limits how many requests the server works on at once and how many wait for a worker."""

import collections
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from tools.server.round_robin import RoundRobin


class BusyError(Exception):
    """The server cannot take the request now. The message says why."""


class _Job(NamedTuple):
    client: str
    started: float


class WorkQueue:
    """Admits a limited number of requests and lends them workers. Thread-safe.

    A client with many requests does not keep others out: it gets at most half of the places and all
    workers but one, and clients get workers in turns.
    """

    def __init__(
        self, workers: int, *, max_waiting: int, timeout: float, job_seconds: float = 60
    ) -> None:
        """Creates an empty queue.

        Args:
            workers: Maximum number of images to label at the same time.
            max_waiting: Maximum number of admitted requests without a worker.
            timeout: Seconds after its admission until which a request can get a worker.
            job_seconds: Seconds after which a worker that still labels the same image is stuck.
        """
        self.timeout = timeout
        self._places = workers + max_waiting
        self._workers = workers
        self._per_client = max(1, workers - 1)
        self._job_seconds = job_seconds
        self._lock = threading.Lock()
        self._admitted: collections.Counter[str] = collections.Counter()
        self._jobs: dict[threading.Event, _Job] = {}
        self._waiting: RoundRobin[threading.Event] = RoundRobin()

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a worker."""
        with self._lock:
            return max(0, self._admitted.total() - len(self._jobs))

    @property
    def working(self) -> int:
        """Number of workers that label an image."""
        return len(self._jobs)

    @property
    def is_stuck(self) -> bool:
        """Whether a worker has labelled the same image for too long."""
        with self._lock:
            oldest = min((job.started for job in self._jobs.values()), default=float("inf"))
        return time.monotonic() - oldest > self._job_seconds

    @contextlib.contextmanager
    def admit(self, client: str) -> Iterator["Ticket"]:
        """Admits a request until the end of the block.

        Args:
            client: Key of the client.

        Raises:
            BusyError: If too many requests, or too many of the client, are waiting.
        """
        with self._lock:
            count, total = self._admitted[client], self._admitted.total()
            if total >= self._places:
                raise BusyError(f"{total} requests are already waiting")
            if count >= max(1, self._places // 2):
                raise BusyError(f"{count} requests of this client are already waiting")
            self._admitted[client] += 1
        try:
            yield Ticket(self, client, time.monotonic() + self.timeout)
        finally:
            with self._lock:
                self._admitted[client] -= 1
                self._admitted += collections.Counter()  # Drops clients without requests.

    @contextlib.contextmanager
    def worker(self, client: str, deadline: float) -> Iterator[None]:
        """Occupies a worker until the end of the block.

        Args:
            client: Key of the client.
            deadline: Time of `time.monotonic` until which to wait for a worker.

        Raises:
            BusyError: If no worker becomes free in time.
        """
        job = threading.Event()
        with self._lock:
            self._waiting.add(client, job)
            self._start_jobs()
        if not job.wait(max(0.0, deadline - time.monotonic())):
            with self._lock:
                self._waiting.remove(client, job)
        if not job.is_set():  # No worker became free at the last moment, either.
            raise BusyError(f"no worker became free in {self.timeout:g} seconds")
        try:
            yield
        finally:
            with self._lock:
                del self._jobs[job]
                self._start_jobs()

    def _start_jobs(self) -> None:
        """Gives idle workers to waiting requests."""
        while len(self._jobs) < self._workers:
            counts = collections.Counter(job.client for job in self._jobs.values())
            full = {client for client, count in counts.items() if count >= self._per_client}
            found = self._waiting.pop(skip=full)
            if not found:
                return
            client, started = found
            self._jobs[started] = _Job(client, time.monotonic())
            started.set()


class Ticket:
    """The admission of one request, which can have several images."""

    def __init__(self, queue: WorkQueue, client: str, deadline: float) -> None:
        self._queue = queue
        self._client = client
        self._deadline = deadline

    def worker(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context manager that occupies a worker for one image.

        A request gives its worker back after each image, so that other requests get a turn.

        Raises:
            BusyError: On entry, if no worker becomes free in time.
        """
        return self._queue.worker(self._client, self._deadline)

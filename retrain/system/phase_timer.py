"""Measures how long the phases of a run take."""

import contextlib
import time
from collections.abc import Iterator


class PhaseTimer:
    """Adds up the time spent in named phases.

    Attributes:
        seconds: Seconds spent in each phase, by its name, in the order in which phases first ended.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.monotonic()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time spent in the block to the phase `name`."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start

    @property
    def total(self) -> float:
        """Seconds since the timer was made."""
        return time.monotonic() - self._start

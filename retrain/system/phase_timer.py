"""Measures how long the phases of a run take."""

import contextlib
import time
from collections.abc import Iterator


class PhaseTimer:
    """Adds up the time spent in named phases.

    Attributes:
        seconds: of each phase that has ended, in the order in which they began to end.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begun = time.monotonic()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the time in the block for the phase `name`."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begun

    @property
    def total(self) -> float:
        """Seconds since the clock was made."""
        return time.monotonic() - self._begun

"""Shows the progress of long work: a bar on a terminal, and a line every ten seconds elsewhere."""

import logging
import sys
import time
from typing import Any, NamedTuple

from retrain.system.text import format_duration

_SECONDS_BETWEEN_LINES = 10.0


class Unit(NamedTuple):
    """What a progress bar counts.

    Attributes:
        name: Plural name of the unit.
        size: Number of counted items in a unit, such as 1,000,000 bytes.
        decimals: Number of decimals to show.
        suffix: Text to show after a count.
    """

    name: str
    size: int
    decimals: int
    suffix: str


IMAGES = Unit("images", 1, 0, "")
MEGABYTES = Unit("MB", 1_000_000, 1, " MB")


class ProgressBar:
    """Counts up to a total. A context manager."""

    def __init__(
        self, total: int | None, description: str, *, unit: Unit = IMAGES, done: int = 0
    ) -> None:
        """Shows the bar if standard error is a terminal.

        Args:
            total: Final count, or None if it is unknown. For MEGABYTES, it is in bytes.
            description: Text before the numbers, such as "Bottlenecks".
            unit: Unit of the numbers that are shown.
            done: Count at the start.
        """
        self._total, self._description, self._unit = total, description, unit
        self._done = self._initial = done
        self._start = self._last_line = time.monotonic()
        self._bar = self._new_bar() if sys.stderr.isatty() else None

    def _new_bar(self) -> Any:
        from tqdm import tqdm

        scaled = self._unit.size > 1
        return tqdm(
            total=self._total,
            initial=self._done,
            desc=self._description,
            unit="B" if scaled else f" {self._unit.name}",
            unit_scale=scaled,
            file=sys.stderr,
            leave=False,
        )

    def add(self, count: int) -> None:
        """Increases the count by `count`."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            logging.info("%s", self._line())

    def _line(self) -> str:
        unit = self._unit
        rate = (self._done - self._initial) / (time.monotonic() - self._start)
        speed = f"{rate / unit.size:.{unit.decimals}f} {unit.name}/s"
        if self._total is None:
            return f"{self._description}: {self._format(self._done)}{unit.suffix}, {speed}"
        percent = f"{100 * self._done / self._total:.0f}%"
        left = format_duration((self._total - self._done) / max(rate, 1e-9))
        return (
            f"{self._description}: {self._format(self._done)} of {self._format(self._total)}"
            f"{unit.suffix} ({percent}), {speed}, {left} left"
        )

    def _format(self, number: int) -> str:
        return f"{number / self._unit.size:.{self._unit.decimals}f}"

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

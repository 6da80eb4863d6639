"""Shows the progress of long work: a bar on a terminal, and a line every ten seconds elsewhere."""

import logging
import sys
import time
from typing import Any

from retrain.system.text import format_duration

_SECONDS_BETWEEN_LINES = 10.0


class ProgressBar:
    """Counts up to a total. A context manager."""

    def __init__(
        self, total: int | None, description: str, *, in_bytes: bool = False, done: int = 0
    ) -> None:
        """Shows the bar if standard error is a terminal.

        Args:
            total: Final count, or None if it is unknown.
            description: Text before the numbers, such as "Bottlenecks".
            in_bytes: Whether bytes are counted, which are shown in MB. The default is images.
            done: Count at the start.
        """
        self._total, self._description, self._in_bytes = total, description, in_bytes
        self._done = self._initial = done
        self._start = self._last_line = time.monotonic()
        self._bar = self._new_bar() if sys.stderr.isatty() else None

    def _new_bar(self) -> Any:
        from tqdm import tqdm

        return tqdm(
            total=self._total,
            initial=self._done,
            desc=self._description,
            unit="B" if self._in_bytes else " images",
            unit_scale=self._in_bytes,
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
        rate = (self._done - self._initial) / (time.monotonic() - self._start)
        speed = f"{self._format(rate)} {'MB' if self._in_bytes else 'images'}/s"
        unit = " MB" if self._in_bytes else ""
        if self._total is None:
            return f"{self._description}: {self._format(self._done)}{unit}, {speed}"
        percent = f"{100 * self._done / self._total:.0f}%"
        left = format_duration((self._total - self._done) / max(rate, 1e-9))
        return (
            f"{self._description}: {self._format(self._done)} of {self._format(self._total)}{unit} "
            f"({percent}), {speed}, {left} left"
        )

    def _format(self, number: float) -> str:
        return f"{number / 1e6:.1f}" if self._in_bytes else f"{number:.0f}"

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

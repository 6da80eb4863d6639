"""Shows how far long work is: a bar on a terminal, now and then a line elsewhere."""

import logging
import sys
import time
from types import TracebackType
from typing import Any

from retrain.system.text import format_duration

_SECONDS_BETWEEN_LINES = 10.0


class ProgressBar:
    """Counts images up to a total. A context manager."""

    def __init__(self, total: int, what: str) -> None:
        """Begins at none of `total`; `what` is said in front, such as "Bottlenecks"."""
        self._total = total
        self._what = what
        self._done = 0
        self._begun = self._said = time.monotonic()
        self._bar = self._new_bar() if sys.stderr.isatty() else None

    def _new_bar(self) -> Any:
        from tqdm import tqdm

        return tqdm(
            total=self._total, desc=self._what, unit=" images", file=sys.stderr, leave=False
        )

    def add(self, count: int) -> None:
        """Says that `count` more are done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            self._say()

    def _say(self) -> None:
        rate = self._done / (time.monotonic() - self._begun)
        left = (self._total - self._done) / max(rate, 1e-9)
        logging.info(
            "%s: %d of %d (%.0f%%), %.0f images/s, %s left",
            *(self._what, self._done, self._total, 100 * self._done / self._total, rate),
            format_duration(left),
        )

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

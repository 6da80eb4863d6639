"""How many processors there are, and work that is spread over threads."""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def processors() -> int:
    """Returns how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parallel_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], workers: int
) -> Generator[_Result, None, None]:
    """Yields `function(item)` for each item, in order, computed by `workers` threads.

    At most `16 * workers` results wait to be taken, so memory does not grow with the number of
    items. An exception of `function` is raised here. When the caller stops early, the items that
    have not begun never do. A single worker is the caller itself.
    """
    if workers == 1:
        # A thread more would cost more than many a small function takes.
        yield from map(function, items)
        return
    pending: deque[Future[_Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= 16 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def load_in_background(function: Callable[[], object]) -> None:
    """Starts `function`, which loads something that is needed later, in a thread of its own.

    An error there is of no consequence: whoever needs the thing loads it again and gets the error.
    """

    def load() -> None:
        with contextlib.suppress(Exception):
            function()

    threading.Thread(target=load).start()

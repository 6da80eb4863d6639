"""Runs functions in threads."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def parallel_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], workers: int
) -> Generator[_Result, None, None]:
    """Yields `function(item)` for each item, in order, computed by several threads.

    Memory does not grow with the number of items: at most 16 results per worker wait to be taken.
    An exception in `function` is raised here. If the caller stops early, items that are waiting
    are dropped.

    Args:
        function: Function to call in the threads.
        items: Items, which are taken in the calling thread.
        workers: Number of threads. With one worker, the calling thread does the work.
    """
    if workers == 1:
        # Handing small items to another thread would cost more than many functions take.
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


def load_in_background(load: Callable[[], object]) -> None:
    """Calls `load` in a thread, to load early what the program needs later.

    Exceptions are ignored. The code that needs the result also loads it, and gets the exception.
    """

    def run() -> None:
        with contextlib.suppress(Exception):
            load()

    threading.Thread(target=run).start()

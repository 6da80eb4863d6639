"""Runs functions in threads, in which clients take turns."""

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import TypeVar

from tools.server.round_robin import RoundRobin

_Result = TypeVar("_Result")


class FairThreads:
    """A limited number of threads for the coroutines of one event loop."""

    def __init__(self, count: int) -> None:
        self._executor = concurrent.futures.ThreadPoolExecutor(count)
        self._idle = count
        self._waiting: RoundRobin[asyncio.Future[None]] = RoundRobin()

    async def run(self, client: str, function: Callable[[], _Result]) -> _Result:
        """Returns the result of a function that is called in a thread when it is the client's turn.

        Args:
            client: Key of the client.
            function: Function to call.
        """
        turn: asyncio.Future[None] = asyncio.Future()
        self._waiting.add(client, turn)
        self._start_next()
        await turn
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, function)
        finally:
            self._idle += 1
            self._start_next()

    def _start_next(self) -> None:
        while self._idle and (found := self._waiting.pop()):
            _, turn = found
            if not turn.cancelled():
                self._idle -= 1
                turn.set_result(None)

    def shut_down(self) -> None:
        """Lets the threads end after the functions that they are running."""
        self._executor.shutdown(wait=False, cancel_futures=True)

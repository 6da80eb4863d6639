"""Processes chunks of images on this machine."""

from collections.abc import Iterable, Iterator
from typing import Any

from tools.cluster.task import ChunkResult, ImageTask, process_timed


def run(task: ImageTask, chunks: Iterable[Any]) -> Iterator[ChunkResult]:
    """Yields the result of each chunk.

    All processors work on the images of a chunk at the same time.

    Raises:
        UserError: If the storage or the network cannot be used.
    """
    worker = task.start()
    for chunk in chunks:
        yield process_timed(worker, chunk)

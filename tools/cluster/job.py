"""Runs a task on all images that it has not processed yet, and reports what became of them."""

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from retrain.errors import UserError
from retrain.shards.storage import Storage
from retrain.system.progress import ProgressBar
from retrain.system.text import format_duration
from tools.cluster import local_runner, ray_runner
from tools.cluster.missing import chunk_size, chunks
from tools.cluster.task import ChunkResult, ImageTask

_MAX_NAMED = 10


def check_shared(storage: Storage, ray_address: str | None) -> None:
    """Checks that other machines can use a storage, if there are others.

    Raises:
        UserError: If only this process can use it.
    """
    if ray_address and not storage.can_be_shared:
        raise UserError(
            f"--{storage.flag}={storage.url} exists only in this process, and cannot be combined "
            f"with --ray_address={ray_address}; use shared storage"
        )


def run(
    task: ImageTask,
    missing: Any,
    *,
    total: int,
    noun: str,
    ray_address: str | None,
    images_per_file: int,
) -> int:
    """Processes the missing images, on this machine or a cluster.

    Args:
        task: What to do.
        missing: Arrow table of the images to process.
        total: Number of all images.
        noun: Plural name of the results, for messages.
        ray_address: Address of the cluster; None for this machine.
        images_per_file: Maximum number of images in a file of results.

    Returns:
        The exit status: 1 if an image could not be read, which the next run tries again.

    Raises:
        UserError: If the cluster, the storage or the network cannot be used.
    """
    done = undecodable = missed = 0
    cpu_seconds = 0.0
    start = time.monotonic()
    if len(missing):
        with (
            _results(task, missing, ray_address, images_per_file) as results,
            ProgressBar(total, noun, done=total - len(missing)) as progress,
        ):
            for result in results:
                _warn(result, undecodable, missed)
                done += result.done
                undecodable += len(result.undecodable)
                missed += len(result.missed)
                cpu_seconds += result.cpu_seconds
                progress.add(result.done + len(result.undecodable) + len(result.missed))
    logging.info(
        "%s: %s computed in %s%s, %s from earlier runs.",
        noun,
        f"{done:,}",
        format_duration(time.monotonic() - start),
        f" (with {cpu_seconds:,.1f} CPU seconds)" if cpu_seconds else "",
        f"{total - len(missing):,}",
    )
    if undecodable:
        logging.warning(
            "%d files cannot be decoded. They are listed in _unreadable-*.jsonl in %s, and not "
            "tried again unless they change.",
            undecodable,
            task.output_url,
        )
    if missed:
        logging.warning(
            "%d images could not be read; run the same command again to try them again.", missed
        )
    return int(missed > 0)


@contextlib.contextmanager
def _results(
    task: ImageTask, missing: Any, ray_address: str | None, images_per_file: int
) -> Iterator[Iterator[ChunkResult]]:
    if ray_address is None:
        size = chunk_size(len(missing), 1, images_per_file)
        yield local_runner.run(task, chunks(missing, size))
        return
    with ray_runner.Cluster(ray_address) as cluster:
        size = chunk_size(len(missing), cluster.processors, images_per_file)
        yield cluster.run(task, chunks(missing, size))


def _warn(result: ChunkResult, undecodable: int, missed: int) -> None:
    """Warns of the first images that have no result."""
    for image in result.undecodable[: max(0, _MAX_NAMED - undecodable)]:
        logging.warning("Skipped %s, which cannot be decoded: %s.", image.name, image.reason)
    for name, reason in result.missed[: max(0, _MAX_NAMED - missed)]:
        logging.warning("Skipped %s, which cannot be read: %s.", name, reason)

"""Runs a task on all images that it has not processed yet, and reports what became of them."""

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from retrain.errors import UserError
from retrain.shards.file_systems import parse_url
from retrain.shards.schema import FormatError
from retrain.shards.shard_files import warn_damaged
from retrain.shards.storage import Storage
from retrain.system.progress import ProgressBar
from retrain.system.text import format_duration
from tools.cluster import ray_runner
from tools.cluster.machines import Machines
from tools.cluster.missing import chunk_size, chunks, find_missing
from tools.cluster.task import ChunkResult, ImageTask, process_timed

_MAX_NAMED = 10


def open_folder(url: str, flag: str, machines: Machines) -> Storage:
    """Opens a folder that all machines can use.

    Args:
        url: Path or URL, as the user typed it.
        flag: Name of the flag that it is from.
        machines: The machines.

    Raises:
        UserError: If the folder cannot be used, or only this process can use it.
    """
    storage = Storage(parse_url(url), flag)
    if machines.ray_address and not storage.can_be_shared:
        raise UserError(
            f"--{flag}={storage.url} exists only in this process, and cannot be combined with "
            f"--ray_address={machines.ray_address}; use shared storage"
        )
    return storage


def run(task: ImageTask, images: Any, output: Storage, machines: Machines) -> int:
    """Processes the images that have no results yet.

    Args:
        task: What to do.
        images: Arrow table of all images, with the columns of `image_table`.
        output: Folder of the results, `task.output_url`.
        machines: The machines.

    Returns:
        The exit status: 1 if an image could not be read, which the next run tries again.

    Raises:
        UserError: If the cluster, the storage or the network cannot be used.
    """
    missing = _find_missing(task, images, output)
    total = len(images)
    done = undecodable = missed = 0
    cpu_seconds = 0.0
    start = time.monotonic()
    if len(missing):
        with (
            _results(task, missing, machines) as results,
            ProgressBar(total, task.noun, done=total - len(missing)) as progress,
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
        task.noun,
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


def _find_missing(task: ImageTask, images: Any, output: Storage) -> Any:
    def read_versions(name: str) -> Any:
        try:
            return task.read_versions(output, name)
        except FormatError as error:
            warn_damaged(output, name, error)
            return None

    return find_missing(images, output, task.find_results(output), read_versions)


@contextlib.contextmanager
def _results(task: ImageTask, missing: Any, machines: Machines) -> Iterator[Iterator[ChunkResult]]:
    most = machines.images_per_file
    if machines.ray_address is None:
        # All processors of this machine work on the images of a chunk at the same time.
        worker = task.start()
        size = chunk_size(len(missing), 1, most)
        yield (process_timed(worker, chunk) for chunk in chunks(missing, size))
        return
    with ray_runner.Cluster(machines.ray_address) as cluster:
        size = chunk_size(len(missing), cluster.processors, most)
        yield cluster.run(task, chunks(missing, size))


def _warn(result: ChunkResult, undecodable: int, missed: int) -> None:
    """Warns of the first images that have no result."""
    for image in result.undecodable[: max(0, _MAX_NAMED - undecodable)]:
        logging.warning("Skipped %s, which cannot be decoded: %s.", image.name, image.reason)
    for name, reason in result.missed[: max(0, _MAX_NAMED - missed)]:
        logging.warning("Skipped %s, which cannot be read: %s.", name, reason)

"""Finds the images that earlier runs have not processed."""

from collections.abc import Callable, Iterator
from typing import Any

from retrain.shards import unreadable_list
from retrain.shards.shard_files import VERSION_COLUMNS
from retrain.shards.storage import Storage
from retrain.system.threads import parallel_map

_READERS = 16
# Fewer images are not worth a file.
_MIN_CHUNK = 64
_CHUNKS_PER_WORKER = 8


def find_missing(
    images: Any, output: Storage, done_files: list[str], read_done: Callable[[str], Any]
) -> Any:
    """Returns the images that neither have results nor are known to be undecodable.

    Args:
        images: Arrow table with the columns of `image_table`.
        output: Folder of the results.
        done_files: Names of the files with results.
        read_done: Function from such a name to an Arrow table with the columns VERSION_COLUMNS, or
            None for a file that does not count.

    Returns:
        Arrow table with the same columns, in the order of `images`.
    """
    import pyarrow as pa

    done = [table for table in parallel_map(read_done, done_files, _READERS) if table is not None]
    undecodable = unreadable_list.read_all(output)
    if undecodable:
        columns = {
            name: pa.array([getattr(image, name) for image in undecodable])
            for name in VERSION_COLUMNS
        }
        done.append(pa.table(columns))
    if not done:
        return images
    known = pa.concat_tables(done).combine_chunks()
    rest = images.join(known, keys=list(VERSION_COLUMNS), join_type="left anti")
    return rest.select(images.column_names).sort_by("name").combine_chunks()


def chunks(images: Any, size: int) -> Iterator[Any]:
    """Yields parts of a table with `size` rows each. The last one can have fewer."""
    for start in range(0, len(images), size):
        yield images.slice(start, size)


def chunk_size(count: int, workers: int, maximum: int) -> int:
    """Returns a number of images per chunk, so that no worker is idle for long at the end.

    Args:
        count: Number of images.
        workers: Number of processors.
        maximum: Largest number of images in a chunk.
    """
    even = -(-count // (_CHUNKS_PER_WORKER * max(1, workers)))
    return min(maximum, max(_MIN_CHUNK, even))

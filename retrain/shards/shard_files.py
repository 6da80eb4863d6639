"""Writes bottlenecks to Parquet files, and reads them."""

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrain.bottlenecks import traits_cache
from retrain.data.image_traits import TRAITS
from retrain.errors import UserError
from retrain.shards.file_systems import is_access_error
from retrain.shards.schema import (
    FILE_PREFIX,
    FILE_SUFFIX,
    TRAITS_KEY,
    FormatError,
    ShardDescription,
    shard_schema,
)
from retrain.shards.storage import Storage
from retrain.system.text import first_line

# The columns that tell which version of which image a row is of.
VERSION_COLUMNS = ("name", "size", "modified")
# Vectors are random numbers to a compressor, which gains 15 %.
_COMPRESSION = "zstd"


def encode_shard(
    description: ShardDescription,
    images: Any,
    *,
    keys: list[bytes],
    vectors: np.ndarray,
    traits: np.ndarray,
) -> bytes:
    """Returns the content of a shard.

    Args:
        description: What the bottlenecks were computed with.
        images: Arrow table of N images with the columns name, label, size and modified.
        keys: SHA-256 of each image file.
        vectors: Bottlenecks, float16 [N, feature_width].
        traits: Traits of each image, TRAITS [N].
    """
    import pyarrow as pa
    from pyarrow import parquet

    values = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    columns = {
        **{name: images[name] for name in ("name", "label", "size", "modified")},
        "key": pa.array(keys, pa.binary(32)),
        "vector": pa.FixedSizeListArray.from_arrays(values, description.feature_width),
        "traits": pa.array([record.tobytes() for record in traits], pa.binary(TRAITS.itemsize)),
    }
    table = pa.table(columns, schema=shard_schema(description))
    buffer = io.BytesIO()
    parquet.write_table(
        table,
        buffer,
        compression=_COMPRESSION,
        use_dictionary=["label"],
        write_statistics=False,
        write_page_checksum=True,
    )
    return buffer.getvalue()


def find_shards(storage: Storage) -> list[str]:
    """Returns the sorted names of the shards in a folder."""
    return storage.find(FILE_PREFIX, FILE_SUFFIX)


def read_description(storage: Storage, name: str) -> ShardDescription:
    """Returns what the bottlenecks of a shard were computed with.

    Raises:
        UserError: If the file cannot be read.
        FormatError: If it is not a complete shard.
    """
    with open_parquet(storage, name) as file:
        return ShardDescription.from_metadata(file.schema_arrow.metadata)


def read_columns(storage: Storage, name: str, columns: tuple[str, ...]) -> Any:
    """Returns columns of a shard as an Arrow table.

    Raises:
        UserError: If the file cannot be read.
        FormatError: If it is not a complete shard, or is damaged.
    """
    with open_parquet(storage, name) as file:
        return file.read(columns=list(columns))


def vectors_of(table: Any) -> np.ndarray:
    """Returns the column `vector` as float16 [N, feature_width]."""
    column = table["vector"].combine_chunks()
    chunks = column.chunks if hasattr(column, "chunks") else [column]
    width = table.schema.field("vector").type.list_size
    empty = np.empty((0, width), np.float16)
    return np.concatenate(
        [empty, *(chunk.flatten().to_numpy().reshape(-1, width) for chunk in chunks)]
    )


def traits_of(table: Any) -> np.ndarray | None:
    """Returns the column `traits` as TRAITS [N]; None if another version measured them."""
    if (table.schema.metadata or {}).get(TRAITS_KEY.encode()) != traits_cache.RECIPE.encode():
        return None
    return np.frombuffer(b"".join(table["traits"].to_pylist()), TRAITS)


def refuse_damaged(storage: Storage, name: str, error: FormatError) -> UserError:
    """Returns the error for a file that is named like a shard but is none."""
    return UserError(
        f"{storage.url}/{name} is not a complete shard ({error}); delete it, and run "
        "//tools:cache_bottlenecks again, which computes only what is missing"
    )


def warn_damaged(storage: Storage, name: str, error: FormatError) -> None:
    """Warns that a file is named like a shard but is none, so that its images are missing."""
    logging.warning(
        "%s/%s is not a complete shard (%s); its images are computed again. Delete the file.",
        storage.url,
        name,
        error,
    )


@contextlib.contextmanager
def open_parquet(storage: Storage, name: str) -> Iterator[Any]:
    """Opens a Parquet file.

    Raises:
        UserError: If the file cannot be accessed.
        FormatError: If it is not a complete Parquet file, or is damaged.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with storage.explain(), storage.open_random(name) as stream:
            try:
                yield parquet.ParquetFile(stream, page_checksum_verification=True)
            except (pa.ArrowException, OSError, ValueError) as error:
                # Arrow reports damage as OSError, too.
                if is_access_error(error):
                    raise
                raise FormatError(first_line(error)) from error
    except FileNotFoundError as error:
        raise FormatError("it was deleted during this run") from error

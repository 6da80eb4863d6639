"""Reads all shards of a folder, for comparison."""

from pathlib import Path

from retrain.shards import shard_files
from retrain.shards.storage import Storage


def read(folder: Path | str) -> dict[str, tuple[str, bytes, bytes]]:
    """Returns label, key and the bytes of the vector of each image, by name."""
    storage = Storage(str(folder), "bottleneck_dir")
    contents: dict[str, tuple[str, bytes, bytes]] = {}
    for file in shard_files.find_shards(storage):
        table = shard_files.read_columns(storage, file, ("name", "label", "key", "vector"))
        vectors = shard_files.vectors_of(table)
        rows = zip(*(table[column].to_pylist() for column in ("name", "label", "key")), strict=True)
        for (name, label, key), vector in zip(rows, vectors, strict=True):
            assert name not in contents, f"{name} is in two shards"
            contents[name] = (label, key, vector.tobytes())
    return contents

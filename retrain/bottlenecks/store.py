"""Stores bottlenecks between runs in one SQLite file that several processes can share.

The key of a bottleneck is what it was computed from: the SHA-256 of the image file, the number of
the distorted variant, and the recipe, a text of everything else that determines the result
(backbone, engine, preprocessing, distortions). Any change leads to another key, so that stale
bottlenecks are never read. Names and folders are not part of the key, so that moved images are
found again.

Each row has a checksum of its key and its vector. A vector that does not match it, or is not
finite, counts as missing. Rows of earlier versions have no checksum.

Vectors are stored as float16, which halves the size of the file and the time to read it. No
classifier in our measurements became less accurate (tests/benchmarks/README.md).

The file is in write-ahead mode (https://sqlite.org/wal.html): a process that is killed loses only
the batch that it is writing, and readers do not wait for writers.
"""

import contextlib
import os
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.row_checksum import RowChecksums, are_finite
from retrain.bottlenecks.sqlite_errors import damage_error
from retrain.bottlenecks.sqlite_file import join, open_file, transaction
from retrain.bottlenecks.sqlite_schema import DIGEST
from retrain.errors import UserError
from retrain.system.batches import batches
from retrain.system.files.locks import remove_unused_locks
from retrain.system.files.private_files import create_private_folders
from retrain.system.outputs.checks import check_folder_writable
from retrain.system.outputs.leftovers import remove_leftovers

FILE_NAME = "bottlenecks.sqlite"

_KEY_COLUMNS = f"{DIGEST}, variant"
_FILE_COLUMNS = "device, inode, size, mtime_ns, ctime_ns"
_BYTES_PER_FLOAT16 = 2
_ROWS_PER_QUERY = 1024
# The maximum of --distortions_per_image, with some room.
_MAX_VARIANT = 10_000
_DIGEST_BYTES = 32


class BottleneckStore:
    """An open cache. A context manager, which closes it. Use `open_store` to create one.

    Only the thread that opened a store can use it, and not after a fork. Each process opens its
    own. All methods raise UserError if the disk is full, fails or is read-only, or if the file is
    damaged. Bottlenecks that were stored before are kept.

    Attributes:
        damaged_count: Number of damaged vectors that were read, and removed from the file.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path):
        self.damaged_count = 0
        self._connection = connection
        self._path = path

    @property
    def folder(self) -> Path:
        """The folder of the cache."""
        return self._path.parent

    def __enter__(self) -> "BottleneckStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file. The store cannot be used afterwards."""
        self._connection.close()

    def get_digests(self, versions: Sequence[FileVersion | None]) -> list[bytes | None]:
        """Returns the SHA-256 (32 bytes) of each file version.

        Args:
            versions: Versions of files; None for a file that does not exist.

        Returns:
            A digest for each version; None for an unknown version.
        """
        rows = [
            (position, *_to_signed(version))
            for position, version in enumerate(versions)
            if version is not None
        ]
        query = (
            f"SELECT position, {DIGEST} FROM temp.wanted CROSS JOIN files"
            " USING (device, inode, size, mtime_ns, ctime_ns)"
        )
        digests: list[bytes | None] = [None] * len(versions)
        with transaction(self._connection, self._path, "DEFERRED"):
            for position, digest in join(self._connection, _FILE_COLUMNS, rows, query):
                # In a damaged file, a column can have any type.
                if isinstance(digest, bytes) and len(digest) == _DIGEST_BYTES:
                    digests[position] = digest
        return digests

    def put_digests(self, files: Sequence[tuple[FileVersion, bytes]]) -> None:
        """Stores the SHA-256 of files, and replaces what was known about these files.

        Args:
            files: Version and SHA-256 of each file. Versions must have been settled when they were
                read.
        """
        with transaction(self._connection, self._path, "IMMEDIATE"):
            self._connection.executemany(
                f"INSERT OR REPLACE INTO files ({_FILE_COLUMNS}, {DIGEST})"
                " VALUES (?, ?, ?, ?, ?, ?)",
                ((*_to_signed(version), digest) for version, digest in files),
            )

    def get_vectors(
        self, recipe: str, keys: Sequence[tuple[bytes, int]], out: np.ndarray
    ) -> np.ndarray:
        """Reads the vectors that `put_vectors` stored, bit for bit.

        Removes damaged vectors from the file, so that they can be stored again.

        Args:
            recipe: Recipe of the vectors.
            keys: SHA-256 of the image (32 bytes) and number of the variant, for each row of `out`.
            out: Output array, float16 [len(keys), width]. A row is undefined if its vector is
                missing, is damaged or has another width.

        Returns:
            bool [len(keys)], True if the vector was found.

        Raises:
            UserError: See the class.
            ValueError: If `out` has another shape or dtype.
        """
        if out.ndim != 2 or len(out) != len(keys) or out.dtype != np.float16:
            raise ValueError(f"out must be float16 [{len(keys)}, width]: {out.dtype} {out.shape}")
        found = np.zeros(len(keys), np.bool_)
        damaged: set[tuple[bytes, int]] = set()
        checksums = RowChecksums(recipe)
        # A cross join looks up each wanted row, whatever SQLite expects to be faster.
        query = (
            "SELECT position, vector, checksum FROM temp.wanted"
            f" CROSS JOIN bottlenecks USING ({DIGEST}, variant)"
            " WHERE recipe = ? AND length(vector) = ?"
        )
        numbered_keys = [(position, *key) for position, key in enumerate(keys)]
        size = _BYTES_PER_FLOAT16 * out.shape[1]
        with transaction(self._connection, self._path, "DEFERRED"):
            recipe_id = self._recipe_id(recipe)
            for batch in batches(numbered_keys, _ROWS_PER_QUERY):
                positions, vectors = [], []
                for position, vector, checksum in join(
                    self._connection, _KEY_COLUMNS, batch, query, values=(recipe_id, size)
                ):
                    key = keys[position]
                    if checksums.is_intact(key, vector, checksum, size=size):
                        positions.append(position)
                        vectors.append(vector)
                    else:
                        damaged.add(key)
                indices = np.array(positions, np.intp)
                values = np.frombuffer(b"".join(vectors), "<f2").reshape(-1, out.shape[1])
                finite = are_finite(values)
                out[indices] = values
                found[indices] = finite
                damaged.update(keys[position] for position in indices[~finite])
        if damaged:
            self._remove(recipe_id, damaged)
        return found

    def stored_variants(self, recipe: str, width: int) -> dict[bytes, int]:
        """Returns the variants that have a vector of that width, by SHA-256 of the image.

        Bit n of the number is set if the store has variant n. A million images take 150 MB,
        regardless of the number of variants.
        """
        query = f"SELECT {_KEY_COLUMNS} FROM bottlenecks WHERE recipe = ? AND length(vector) = ?"
        variants: dict[bytes, int] = {}
        with transaction(self._connection, self._path, "DEFERRED"):
            values = (self._recipe_id(recipe), _BYTES_PER_FLOAT16 * width)
            for digest, variant in self._connection.execute(query, values):
                if isinstance(variant, int) and 0 <= variant <= _MAX_VARIANT:
                    variants[digest] = variants.get(digest, 0) | 1 << variant
        return variants

    def put_vectors(self, recipe: str, rows: Sequence[tuple[bytes, int, np.ndarray]]) -> None:
        """Stores a batch of vectors, or nothing if there is an error.

        A stored vector is not replaced, unless it has another width. A vector that a process has
        read therefore never changes.

        Args:
            recipe: Text of everything that determines the vectors besides image and variant.
            rows: SHA-256 of the image (32 bytes), number of the variant, and vector, float16
                [width].
        """
        checksums = RowChecksums(recipe)
        with transaction(self._connection, self._path, "IMMEDIATE"):
            self._connection.execute("INSERT OR IGNORE INTO recipes (recipe) VALUES (?)", (recipe,))
            recipe_id = self._recipe_id(recipe)
            if recipe_id is None:
                raise damage_error(self._path, "a row that was just written is missing")
            self._connection.executemany(
                f"INSERT INTO bottlenecks (recipe, {_KEY_COLUMNS}, vector, checksum)"
                f" VALUES (?, ?, ?, ?, ?) ON CONFLICT (recipe, {_KEY_COLUMNS}) DO UPDATE"
                " SET vector = excluded.vector, checksum = excluded.checksum"
                " WHERE typeof(vector) != 'blob' OR length(vector) != length(excluded.vector)",
                (
                    (recipe_id, digest, variant, blob, checksums.compute((digest, variant), blob))
                    for digest, variant, vector in rows
                    for blob in [_to_blob(vector)]
                ),
            )

    def _remove(self, recipe_id: int | None, keys: Collection[tuple[bytes, int]]) -> None:
        with transaction(self._connection, self._path, "IMMEDIATE"):
            self._connection.executemany(
                f"DELETE FROM bottlenecks WHERE recipe = ? AND {DIGEST} = ? AND variant = ?",
                ((recipe_id, *key) for key in keys),
            )
        self.damaged_count += len(keys)

    def _recipe_id(self, recipe: str) -> int | None:
        row = self._connection.execute(
            "SELECT id FROM recipes WHERE recipe = ?", (recipe,)
        ).fetchone()
        return row[0] if row else None


def open_store(folder: Path) -> BottleneckStore:
    """Opens the cache in `folder`. Creates the folder and the file if they are missing.

    Raises:
        UserError: If the folder cannot be written, or if the file is not a cache or has another
            format. A file that is refused is not changed.
    """
    try:
        # Also removes what killed runs left in the folder itself.
        check_folder_writable(folder, "bottleneck_dir")
        create_private_folders(folder)
        _remove_leftovers(folder)
    except OSError as error:
        raise UserError(
            f"--bottleneck_dir={folder} cannot be created: {error.strerror}; use another folder"
        ) from error
    path = folder / FILE_NAME
    return BottleneckStore(open_file(path), path)


def _remove_leftovers(folder: Path) -> None:
    """Removes what killed runs left in the sub-folders of a cache, and unused locks in all."""
    subfolders = []
    # A folder that cannot be listed can still be used.
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        subfolders = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    for subfolder in subfolders:
        remove_leftovers(subfolder)
    for possible in (folder, *subfolders):
        remove_unused_locks(possible)


def _to_blob(vector: np.ndarray) -> bytes:
    return vector.astype("<f2", casting="equiv", copy=False).tobytes()


def _to_signed(version: FileVersion) -> tuple[int, ...]:
    """Converts unsigned 64-bit numbers, as some inodes are, to the signed ones of SQLite."""
    return tuple((number + 2**63) % 2**64 - 2**63 for number in version)

"""Stores bottlenecks between runs in one SQLite file that several processes can share.

The key of a bottleneck is what it was computed from: the SHA-256 of the image file, the number of
the distorted variant, and the recipe, a text of everything else that determines the result
(backbone, engine, preprocessing, distortions). Any change leads to another key, so that stale
bottlenecks are never read. Names and folders are not part of the key, so that moved images are
found again.

Vectors are stored as float16, which halves the size of the file and the time to read it. No
classifier in our measurements became less accurate (tests/benchmarks/README.md).

The file is in write-ahead mode (https://sqlite.org/wal.html): a process that is killed loses only
the batch that it is writing, and readers do not wait for writers.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.sqlite_file import DIGEST, open_file, transaction
from retrain.errors import UserError
from retrain.system.batches import batches
from retrain.system.files import check_folder_writable

FILE_NAME = "bottlenecks.sqlite"

_KEY_COLUMNS = f"{DIGEST}, variant"
_FILE_COLUMNS = "device, inode, size, mtime_ns, ctime_ns"
_BYTES_PER_FLOAT16 = 2
_ROWS_PER_QUERY = 1024


class BottleneckStore:
    """An open cache. A context manager, which closes it. Use `open_store` to create one.

    Only the thread that opened a store can use it, and not after a fork. Each process opens its
    own. All methods raise UserError if the disk is full, fails or is read-only, or if the file is
    damaged. Bottlenecks that were stored before are kept.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path):
        self._connection = connection
        self._path = path

    def __enter__(self) -> "BottleneckStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file. The store cannot be used afterwards."""
        self._connection.close()

    def get_digests(self, versions: Sequence[FileVersion]) -> list[bytes | None]:
        """Returns the SHA-256 (32 bytes) of each file version, or None for an unknown version."""
        rows = [(position, *_to_signed(version)) for position, version in enumerate(versions)]
        query = (
            f"SELECT position, {DIGEST} FROM temp.wanted_files JOIN files"
            " USING (device, inode, size, mtime_ns, ctime_ns)"
        )
        digests: list[bytes | None] = [None] * len(versions)
        with transaction(self._connection, self._path, "DEFERRED"):
            for position, digest in self._join("wanted_files", _FILE_COLUMNS, rows, query):
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

        Args:
            recipe: Recipe of the vectors.
            keys: SHA-256 of the image (32 bytes) and number of the variant, for each row of `out`.
            out: Output array, float16 [len(keys), width]. A row is left unchanged if its vector is
                missing or has another width.

        Returns:
            bool [len(keys)], True if the vector was found.

        Raises:
            UserError: See the class.
            ValueError: If `out` has another shape or dtype.
        """
        if out.ndim != 2 or len(out) != len(keys) or out.dtype != np.float16:
            raise ValueError(f"out must be float16 [{len(keys)}, width]: {out.dtype} {out.shape}")
        found = np.zeros(len(keys), np.bool_)
        query = (
            "SELECT position, vector FROM temp.wanted"
            f" JOIN bottlenecks USING ({DIGEST}, variant)"
            " WHERE recipe = ? AND length(vector) = ?"
        )
        numbered_keys = [(position, *key) for position, key in enumerate(keys)]
        with transaction(self._connection, self._path, "DEFERRED"):
            values = (self._recipe_id(recipe), _BYTES_PER_FLOAT16 * out.shape[1])
            for batch in batches(numbered_keys, _ROWS_PER_QUERY):
                rows = self._join("wanted", _KEY_COLUMNS, batch, query, values=values)
                if rows:
                    positions, vectors = zip(*rows, strict=True)
                    indices = np.array(positions)
                    out[indices] = np.frombuffer(b"".join(vectors), "<f2").reshape(len(rows), -1)
                    found[indices] = True
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
        with transaction(self._connection, self._path, "IMMEDIATE"):
            self._connection.execute("INSERT OR IGNORE INTO recipes (recipe) VALUES (?)", (recipe,))
            recipe_id = self._recipe_id(recipe)
            self._connection.executemany(
                f"INSERT INTO bottlenecks (recipe, {_KEY_COLUMNS}, vector) VALUES (?, ?, ?, ?)"
                f" ON CONFLICT (recipe, {_KEY_COLUMNS}) DO UPDATE SET vector = excluded.vector"
                " WHERE length(vector) != length(excluded.vector)",
                (
                    (recipe_id, digest, variant, _to_blob(vector))
                    for digest, variant, vector in rows
                ),
            )

    def _join(
        self,
        table: str,
        columns: str,
        rows: Sequence[tuple[object, ...]],
        query: str,
        *,
        values: tuple[object, ...] = (),
    ) -> list[tuple[int, bytes]]:
        """Runs a query that joins `rows` as a temporary table.

        A query for many rows takes a third of the time of one query per row.

        Args:
            table: Name of the temporary table.
            columns: Names of its columns after the first, `position`.
            rows: Position and other columns of each row.
            query: Query for the position and another column.
            values: Parameters of the query.
        """
        execute = self._connection.execute
        execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} (position, {columns})")
        execute(f"DELETE FROM temp.{table}")
        marks = ", ".join("?" * (1 + len(columns.split(","))))
        self._connection.executemany(f"INSERT INTO temp.{table} VALUES ({marks})", rows)
        return execute(query, values).fetchall()

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
        check_folder_writable(folder, "bottleneck_dir")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--bottleneck_dir={folder} cannot be created: {error.strerror}; use another folder"
        ) from error
    path = folder / FILE_NAME
    return BottleneckStore(open_file(path), path)


def _to_blob(vector: np.ndarray) -> bytes:
    return vector.astype("<f2", casting="equiv", copy=False).tobytes()


def _to_signed(version: FileVersion) -> tuple[int, ...]:
    """Converts unsigned 64-bit numbers, as some inodes are, to the signed ones of SQLite."""
    return tuple((number + 2**63) % 2**64 - 2**63 for number in version)

"""Bottlenecks kept between runs, in one SQLite file that several processes may share.

A bottleneck is found by what it was computed from: the SHA-256 of the image's bytes, the recipe
(a canonical text that the caller makes of everything else that decides the result: backbone,
engine, preprocessing, distortion) and the variant of the distortion. Whatever changes is another
key, so nothing stale can be read; names and folders are no part of it, so an image that was moved
is found again.

Vectors are kept as float16, which is half the file and half the reading, and no classifier that was
measured became worse (tests/benchmarks/README.md).

The file is in write-ahead mode (https://sqlite.org/wal.html): a process that is killed loses the
batch that it was writing and nothing else, and readers do not wait for writers.
"""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from retrain.bottlenecks.sqlite_file import open_file, transaction
from retrain.errors import UserError
from retrain.system.files import check_folder_writable

FILE_NAME = "bottlenecks.sqlite"

_SETTLING_NS = 2_000_000_000

_FILE_COLUMNS = "device, inode, size, mtime_ns, ctime_ns"
# Of a float16.
_BYTES = 2
_ROWS_AT_A_TIME = 1024


class FileState(NamedTuple):
    """What the file system tells of a file; while it stays the same, the content does.

    Take it from the open file (`os.fstat`) before reading: a write that comes later changes the
    state, and the old state, should it be remembered, is then never met again.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def from_stat(cls, status: os.stat_result) -> "FileState":
        """Returns the state that `status` tells."""
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )

    def settled(self, now_ns: int) -> bool:
        """Returns whether a change from `now_ns` on is sure to change the state.

        The clocks of file systems tick in steps of up to 2 s (FAT's). A file that is written twice
        within a step can have the same state with another content, so a state is not worth
        remembering before its step has passed; Git calls such an entry "racily clean":
        https://git-scm.com/docs/racy-git

        Args:
            now_ns: `time.time_ns()` from before the state was taken. A later time would let
                through a file that changed between that and the reading.
        """
        return max(self.mtime_ns, self.ctime_ns) < now_ns - _SETTLING_NS


class BottleneckStore:
    """An open cache; a context manager. `open_store` makes it.

    It is for the thread that opened it (another gets sqlite3.ProgrammingError) and must not be
    carried through a fork; each process opens its own. All methods raise UserError where the disk
    is full, fails or is read-only, or where the file is damaged: what was put before is kept.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path):
        self._connection = connection
        self._path = path

    def __enter__(self) -> "BottleneckStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file. The store cannot be used any more."""
        self._connection.close()

    def digests(self, states: Sequence[FileState]) -> list[bytes | None]:
        """Returns the SHA-256 (32 bytes) of each file in that state; None where it is unknown."""
        rows = [(position, *_stored(state)) for position, state in enumerate(states)]
        query = (
            "SELECT position, image FROM temp.wanted_files JOIN files"
            " USING (device, inode, size, mtime_ns, ctime_ns)"
        )
        found: list[bytes | None] = [None] * len(states)
        with transaction(self._connection, self._path, "DEFERRED"):
            for position, digest in self._join("wanted_files", _FILE_COLUMNS, rows, query):
                found[position] = digest
        return found

    def remember(self, files: Sequence[tuple[FileState, bytes]]) -> None:
        """Keeps what `digests` is to return, for each file in place of what was known of it.

        Args:
            files: states, which were settled when they were taken, and SHA-256 of the contents.
        """
        with transaction(self._connection, self._path, "IMMEDIATE"):
            self._remember(files)

    def get_many(
        self, recipe: str, keys: Sequence[tuple[bytes, int]], out: np.ndarray
    ) -> np.ndarray:
        """Reads the vectors that were put for `keys`, bit for bit, where there are any.

        Args:
            recipe: as given to `put_many`.
            keys: SHA-256 of the image (32 bytes) and variant, of each row of `out`.
            out: float16 [len(keys), width] to read into. Rows whose vector is missing, or of
                another width, are left as they are.

        Returns:
            bool [len(keys)], True where a vector was found.

        Raises:
            UserError: as the class says.
            ValueError: `out` is not of that shape and type.
        """
        if out.ndim != 2 or len(out) != len(keys) or out.dtype != np.float16:
            raise ValueError(f"out must be float16 [{len(keys)}, width]: {out.dtype} {out.shape}")
        found = np.zeros(len(keys), np.bool_)
        query = (
            "SELECT position, vector FROM temp.wanted JOIN bottlenecks USING (image, variant)"
            " WHERE recipe = ? AND length(vector) = ?"
        )
        with transaction(self._connection, self._path, "DEFERRED"):
            values = (self._recipe_id(recipe), _BYTES * out.shape[1])
            for begin in range(0, len(keys), _ROWS_AT_A_TIME):
                piece = keys[begin : begin + _ROWS_AT_A_TIME]
                wanted = [(begin + i, *key) for i, key in enumerate(piece)]
                rows = self._join("wanted", "image, variant", wanted, query, values)
                if rows:
                    positions, vectors = zip(*rows, strict=True)
                    at = np.array(positions)
                    out[at] = np.frombuffer(b"".join(vectors), "<f2").reshape(len(rows), -1)
                    found[at] = True
        return found

    def _join(
        self,
        table: str,
        columns: str,
        rows: Sequence[tuple[object, ...]],
        query: str,
        values: tuple[object, ...] = (),
    ) -> list[tuple[int, bytes]]:
        """Returns what `query` answers with `rows`, position first, in a temporary table.

        One query for many rows takes a third of the time that one for each row takes.
        """
        execute = self._connection.execute
        execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} (position, {columns})")
        execute(f"DELETE FROM temp.{table}")
        marks = ", ".join("?" * (1 + len(columns.split(","))))
        self._connection.executemany(f"INSERT INTO temp.{table} VALUES ({marks})", rows)
        return execute(query, values).fetchall()

    def known(self, recipe: str, width: int) -> dict[bytes, int]:
        """Returns which variants have a vector of that width, by the image's SHA-256.

        Variant n is the bit `1 << n`: a million images take 150 MB, however many variants.
        """
        query = "SELECT image, variant FROM bottlenecks WHERE recipe = ? AND length(vector) = ?"
        variants: dict[bytes, int] = {}
        with transaction(self._connection, self._path, "DEFERRED"):
            values = (self._recipe_id(recipe), _BYTES * width)
            for image, variant in self._connection.execute(query, values):
                variants[image] = variants.get(image, 0) | 1 << variant
        return variants

    def put_many(
        self,
        recipe: str,
        rows: Sequence[tuple[bytes, int, np.ndarray]],
        files: Sequence[tuple[FileState, bytes]] = (),
    ) -> None:
        """Keeps a batch of vectors, and what `remember` would: all of it or, on an error, nothing.

        A vector that is there already stays, unless it has another width: what one process has
        read, no other changes.

        Args:
            recipe: canonical text of all that decides the vectors besides image and variant.
            rows: SHA-256 of the image (32 bytes), variant, and vector, float16 [width].
            files: as for `remember`.
        """
        with transaction(self._connection, self._path, "IMMEDIATE"):
            self._connection.execute("INSERT OR IGNORE INTO recipes (recipe) VALUES (?)", (recipe,))
            recipe_id = self._recipe_id(recipe)
            self._connection.executemany(
                "INSERT INTO bottlenecks (recipe, image, variant, vector) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (recipe, image, variant) DO UPDATE SET vector = excluded.vector"
                " WHERE length(vector) != length(excluded.vector)",
                (
                    (
                        recipe_id,
                        digest,
                        variant,
                        vector.astype("<f2", casting="equiv", copy=False).tobytes(),
                    )
                    for digest, variant, vector in rows
                ),
            )
            self._remember(files)

    def _recipe_id(self, recipe: str) -> int | None:
        row = self._connection.execute(
            "SELECT id FROM recipes WHERE recipe = ?", (recipe,)
        ).fetchone()
        return row[0] if row else None

    def _remember(self, files: Sequence[tuple[FileState, bytes]]) -> None:
        self._connection.executemany(
            f"INSERT OR REPLACE INTO files ({_FILE_COLUMNS}, image) VALUES (?, ?, ?, ?, ?, ?)",
            ((*_stored(state), digest) for state, digest in files),
        )


def open_store(folder: Path) -> BottleneckStore:
    """Returns the cache in `folder`. The folder and the file are made where they are missing.

    Raises:
        UserError: the folder cannot be written, or the file there is not a cache or not of this
            version. It is left as it is then.
    """
    try:
        check_folder_writable(folder, "bottleneck_dir")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--bottleneck_dir={folder} cannot be made: {error.strerror}; name another folder"
        ) from error
    path = folder / FILE_NAME
    return BottleneckStore(open_file(path), path)


def _stored(state: FileState) -> tuple[int, ...]:
    """Wraps into the signed 64 bits of SQLite what may need all unsigned 64, as some inodes do."""
    return tuple((number + 2**63) % 2**64 - 2**63 for number in state)

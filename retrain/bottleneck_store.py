"""Bottlenecks kept between runs, in one SQLite file that several processes may share.

A bottleneck is found by what it was computed from: the SHA-256 of the picture's bytes, the recipe
(a canonical text that the caller makes of everything else that decides the result: backbone,
engine, preprocessing, distortion) and the variant of the distortion. Whatever changes is another
key, so nothing stale can be read; names and folders are no part of it, so a picture that was moved
is found again.

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

from retrain.bottleneck_file import open_file, transaction
from retrain.errors import UserError
from retrain.runtime import check_folder_writable

FILE_NAME = "bottlenecks.sqlite"

_SETTLING_NS = 2_000_000_000


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
        query = (
            "SELECT picture FROM files WHERE device = ? AND inode = ? AND size = ?"
            " AND mtime_ns = ? AND ctime_ns = ?"
        )
        with transaction(self._connection, self._path, "DEFERRED"):
            rows = [self._connection.execute(query, _stored(s)).fetchone() for s in states]
        return [row and row[0] for row in rows]

    def remember(self, files: Sequence[tuple[FileState, bytes]]) -> None:
        """Keeps what `digests` is to return, for each file in place of what was known of it.

        Args:
            files: states, which were settled when they were taken, and SHA-256 of the contents.
        """
        with transaction(self._connection, self._path, "IMMEDIATE"):
            self._remember(files)

    def get_many(
        self,
        recipe: str,
        keys: Sequence[tuple[bytes, int]],
        width: int,
        out: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the vectors that were put for `keys`, bit for bit, and which of them there are.

        Args:
            recipe: as given to `put_many`.
            keys: SHA-256 of the picture (32 bytes) and variant; a key may come more than once.
            width: of a vector. What is stored with another width counts as missing.
            out: float32 [len(keys), width] to read into. A new array of zeros where None.

        Returns:
            float32 [len(keys), width], `out` if that was given, its rows untouched where a vector
            is missing; bool [len(keys)], True where it was found.

        Raises:
            UserError: as the class says.
            ValueError: `out` is not of that shape and type.
        """
        vectors = np.zeros((len(keys), width), np.float32) if out is None else out
        if vectors.shape != (len(keys), width) or vectors.dtype != np.float32:
            raise ValueError(
                f"out must be float32 {(len(keys), width)}: {vectors.dtype} {vectors.shape}"
            )
        found = np.zeros(len(keys), np.bool_)
        query = (
            "SELECT vector FROM bottlenecks WHERE recipe = ? AND picture = ? AND variant = ?"
            " AND length(vector) = ?"
        )
        with transaction(self._connection, self._path, "DEFERRED"):
            recipe_id = self._recipe_id(recipe)
            for position, (digest, variant) in enumerate(keys):
                row = self._connection.execute(
                    query, (recipe_id, digest, variant, 4 * width)
                ).fetchone()
                if row:
                    vectors[position] = np.frombuffer(row[0], "<f4")
                    found[position] = True
        return vectors, found

    def known(self, recipe: str, variant: int, width: int) -> set[bytes]:
        """Returns the SHA-256 of every picture that has a vector of that width."""
        query = (
            "SELECT picture FROM bottlenecks WHERE recipe = ? AND variant = ?"
            " AND length(vector) = ?"
        )
        with transaction(self._connection, self._path, "DEFERRED"):
            rows = self._connection.execute(query, (self._recipe_id(recipe), variant, 4 * width))
            return {picture for (picture,) in rows}

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
            recipe: canonical text of all that decides the vectors besides picture and variant.
            rows: SHA-256 of the picture (32 bytes), variant, and vector, float32 [width].
            files: as for `remember`.
        """
        with transaction(self._connection, self._path, "IMMEDIATE"):
            self._connection.execute("INSERT OR IGNORE INTO recipes (recipe) VALUES (?)", (recipe,))
            recipe_id = self._recipe_id(recipe)
            self._connection.executemany(
                "INSERT INTO bottlenecks (recipe, picture, variant, vector) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (recipe, picture, variant) DO UPDATE SET vector = excluded.vector"
                " WHERE length(vector) != length(excluded.vector)",
                (
                    (recipe_id, digest, variant, vector.astype("<f4", copy=False).tobytes())
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
            "INSERT OR REPLACE INTO files (device, inode, size, mtime_ns, ctime_ns, picture)"
            " VALUES (?, ?, ?, ?, ?, ?)",
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

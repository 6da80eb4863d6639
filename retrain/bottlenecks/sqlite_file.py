"""Opens the SQLite file of the bottleneck cache, and runs transactions and queries."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from retrain.bottlenecks import sqlite_schema
from retrain.bottlenecks.sqlite_errors import TIMEOUT_SECONDS, explain_errors, user_error
from retrain.system.files.private_files import check_private

# Large enough for several vectors of 1280 to 2048 float16 values. Smaller pages waste up to half of
# the file, or need several pages for a vector. Larger pages make small batches slower.
_PAGE_SIZE = 32768


def open_file(path: Path) -> sqlite3.Connection:
    """Opens the cache at `path`. Creates it if the file is missing or empty.

    Only this thread can use the connection. All transactions are started by `transaction`.

    Raises:
        UserError: If the file cannot be written, is not a cache or has another format. A file that
            is refused is not changed.
    """
    _check_files(path)
    with explain_errors(path):
        connection = sqlite3.connect(path, timeout=TIMEOUT_SECONDS, isolation_level=None)
        # In a damaged file, any column can contain text, even text that is not valid.
        connection.text_factory = bytes
        try:
            # Expressions in a file of someone else can only compute, and damage is found earlier.
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
            # If several processes start together, the write lock lets only one create the tables.
            with transaction(connection, path, "IMMEDIATE"):
                sqlite_schema.create_tables(connection, path)
            _enable_write_ahead_log(connection)
            _check_writable(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _check_files(path: Path) -> None:
    # SQLite follows links. Opening and closing the file here would free locks of this process.
    for suffix in ("", "-wal", "-shm", "-journal"):
        file = path.with_name(path.name + suffix)
        try:
            check_private(file)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise user_error(
                path,
                f"cannot be opened ({file.name}: {error.strerror}); use a writable folder on a "
                "local disk",
            ) from error


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, path: Path, kind: str) -> Iterator[None]:
    """Runs the block as a transaction, which an exception rolls back.

    Args:
        connection: Connection from `open_file`.
        path: Path of the file, for messages.
        kind: "DEFERRED" for reading, which does not wait for other processes; "IMMEDIATE" for
            writing, which only one process can do at a time.

    Raises:
        UserError: If the disk is full, fails or is read-only, the file is damaged, or another
            process writes for too long.
    """
    with explain_errors(path):
        connection.execute(f"BEGIN {kind}")
        try:
            yield
            connection.execute("COMMIT")
        finally:
            # After some errors SQLite has already rolled back. If the disk fails, it cannot.
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")


def join(
    connection: sqlite3.Connection,
    columns: str,
    rows: Sequence[tuple[object, ...]],
    query: str,
    *,
    values: tuple[object, ...] = (),
) -> list[tuple[Any, ...]]:
    """Runs a query that joins `rows` as the table temp.wanted.

    A query for many rows takes a third of the time of one query per row.

    Args:
        connection: Connection from `open_file`, in a transaction.
        columns: Names of the columns of the table after the first, `position`.
        rows: Position and other columns of each row.
        query: Query for the position and other columns.
        values: Parameters of the query.
    """
    connection.execute("DROP TABLE IF EXISTS temp.wanted")
    connection.execute(f"CREATE TEMP TABLE wanted (position, {columns})")
    marks = ", ".join("?" * (1 + len(columns.split(","))))
    connection.executemany(f"INSERT INTO temp.wanted VALUES ({marks})", rows)
    return connection.execute(query, values).fetchall()


def _enable_write_ahead_log(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            # SQLite does not wait here for other processes that open a new file.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    # With a write-ahead log, this keeps the file consistent without waiting for the disk after
    # each batch.
    connection.execute("PRAGMA synchronous = NORMAL")


def _check_writable(connection: sqlite3.Connection, path: Path) -> None:
    """Writes an unchanged value, to fail now rather than after the first batch."""
    with transaction(connection, path, "IMMEDIATE"):
        connection.execute(f"PRAGMA user_version = {sqlite_schema.VERSION}")

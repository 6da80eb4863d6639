"""Opens and checks the SQLite file of the bottleneck cache, and explains its errors to users."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from retrain.errors import UserError

# In the header of the file: https://sqlite.org/fileformat2.html#the_database_header
_APPLICATION_ID = int.from_bytes(b"Btln", "big")
_VERSION = 2

# Name of the columns with the SHA-256 of an image file, as in the files of earlier versions.
DIGEST = "picture"

# Large enough for several vectors of 1280 to 2048 float16 values. Smaller pages waste up to half of
# the file, or need several pages for a vector. Larger pages make small batches slower.
_PAGE_SIZE = 32768
_TIMEOUT_SECONDS = 60.0

# Rows in `bottlenecks` are in the order of insertion, with a separate index. If they were sorted by
# their keys, which are hashes, every insertion would move vectors.
_SCHEMA = (
    "CREATE TABLE recipes (id INTEGER PRIMARY KEY, recipe TEXT NOT NULL UNIQUE)",
    f"""CREATE TABLE bottlenecks (
        recipe INTEGER NOT NULL,
        {DIGEST} BLOB NOT NULL CHECK (length({DIGEST}) = 32),
        variant INTEGER NOT NULL CHECK (typeof(variant) = 'integer'),
        vector BLOB NOT NULL
    )""",
    f"CREATE UNIQUE INDEX bottleneck_keys ON bottlenecks (recipe, {DIGEST}, variant)",
    f"""CREATE TABLE files (
        device INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        {DIGEST} BLOB NOT NULL CHECK (length({DIGEST}) = 32),
        PRIMARY KEY (device, inode)
    ) WITHOUT ROWID""",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)

# Parts of SQLite's error messages, and the messages for the user. Error codes would be more
# reliable, but Python 3.10 does not have them.
_EXPLANATIONS = {
    "not a database": "is not a bottleneck cache ({}); use another folder or delete the file",
    "malformed": "is damaged ({}); delete it or use another folder",
    "disk is full": "cannot be written ({}); free disk space or use another folder",
    "disk I/O error": "cannot be used ({}); free disk space, or use a folder on a working local "
    "disk",
    "readonly": "cannot be written ({}); use a writable folder on a local disk",
    "unable to open": "cannot be opened ({}); use a writable folder on a local disk",
    "locking protocol": "cannot be locked ({}); use a folder on a local disk",
    "locked": f"was in use for {_TIMEOUT_SECONDS:.0f} s ({{}}); stop the other program or use "
    "another folder",
}


def open_file(path: Path) -> sqlite3.Connection:
    """Opens the cache at `path`. Creates it if the file is missing or empty.

    Only this thread can use the connection. All transactions are started by `transaction`.

    Raises:
        UserError: If the file cannot be written, is not a cache or has another format. A file that
            is refused is not changed.
    """
    with _explain_errors(path):
        connection = sqlite3.connect(path, timeout=_TIMEOUT_SECONDS, isolation_level=None)
        try:
            _create_tables(connection, path)
            _enable_write_ahead_log(connection)
            _check_writable(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


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
    with _explain_errors(path):
        connection.execute(f"BEGIN {kind}")
        try:
            yield
            connection.execute("COMMIT")
        finally:
            # After some errors SQLite has already rolled back. If the disk fails, it cannot.
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")


def _create_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Creates the tables in an empty file, or checks that the file is a cache of this format."""
    connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
    # If several processes start together, the write lock lets only one create the tables.
    with transaction(connection, path, "IMMEDIATE"):
        application_id, version, tables = (
            connection.execute(query).fetchone()[0]
            for query in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT count(*) FROM sqlite_master",
            )
        )
        if (application_id, version, tables) == (0, 0, 0):
            for statement in _SCHEMA:
                connection.execute(statement)
        elif application_id != _APPLICATION_ID:
            raise _user_error(
                path,
                "is not a bottleneck cache (it is an SQLite file of another program); "
                "use another folder or delete the file",
            )
        elif version != _VERSION:
            age = "an older" if version < _VERSION else "a newer"
            raise _user_error(
                path,
                f"was written by {age} version of retrain (format {version}, not {_VERSION}); "
                "delete it to compute all bottlenecks again, or use another folder",
            )


def _enable_write_ahead_log(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
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
        connection.execute(f"PRAGMA user_version = {_VERSION}")


@contextlib.contextmanager
def _explain_errors(path: Path) -> Iterator[None]:
    """Raises UserError for the errors of SQLite that the user can fix."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        for part, explanation in _EXPLANATIONS.items():
            if part in str(error):
                raise _user_error(path, explanation.format(error)) from error
        raise


def _user_error(path: Path, explanation: str) -> UserError:
    return UserError(f"--bottleneck_dir={path.parent}: {path} {explanation}")

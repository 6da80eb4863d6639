"""The SQLite file of the bottleneck cache: made, checked, shared, and its failures told."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from retrain.errors import UserError

# They stand in the file's header: https://sqlite.org/fileformat2.html#the_database_header
_APPLICATION_ID = int.from_bytes(b"Btln", "big")
_VERSION = 2

# A vector of 1280 to 2048 float16 fits several times into a page of this size. Smaller pages waste
# up to half of the file, or chain pages for each vector; larger ones make small batches slower.
_PAGE_SIZE = 32768
_PATIENCE_SECONDS = 60.0

# The order of rows in `bottlenecks` is that of their arrival, and the index is beside it: sorted by
# their keys, which are as good as random, the vectors would be moved about at every insertion.
_SCHEMA = (
    "CREATE TABLE recipes (id INTEGER PRIMARY KEY, recipe TEXT NOT NULL UNIQUE)",
    """CREATE TABLE bottlenecks (
        recipe INTEGER NOT NULL,
        image BLOB NOT NULL CHECK (length(image) = 32),
        variant INTEGER NOT NULL CHECK (typeof(variant) = 'integer'),
        vector BLOB NOT NULL
    )""",
    "CREATE UNIQUE INDEX bottleneck_keys ON bottlenecks (recipe, image, variant)",
    """CREATE TABLE files (
        device INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        image BLOB NOT NULL CHECK (length(image) = 32),
        PRIMARY KEY (device, inode)
    ) WITHOUT ROWID""",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)

# What SQLite says, in part, and what it means to the user. Its error codes would be the better key,
# but Python 3.10 does not give them.
_FAILURES = {
    "not a database": "is not a cache of bottlenecks ({}); name another folder or delete it",
    "malformed": "is damaged ({}); delete it or name another folder",
    "disk is full": "cannot be written ({}); make room or name another folder",
    "disk I/O error": "cannot be used ({}); make room, or name a folder on a sound local disk",
    "readonly": "cannot be written ({}); name a folder on a local disk where you may write",
    "unable to open": "cannot be opened ({}); name a folder on a local disk where you may write",
    "locking protocol": "cannot be locked ({}); name a folder on a local disk",
    "locked": f"was in use for {_PATIENCE_SECONDS:.0f} s ({{}}); end the other program or name "
    "another folder",
}


def open_file(path: Path) -> sqlite3.Connection:
    """Returns a connection to the cache at `path`, which is made where it is missing or empty.

    The connection is for this thread, and leaves all transactions to `transaction`.

    Raises:
        UserError: the file cannot be written, or is not a cache or not of this version. It is left
            as it is then.
    """
    with _failures_told(path):
        connection = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None)
        try:
            _initialise(connection, path)
            _write_ahead(connection)
            _try_to_write(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, path: Path, kind: str) -> Iterator[None]:
    """Keeps all that the block does to the file, or nothing where an exception ends it.

    Args:
        connection: from `open_file`.
        path: of the file, for messages.
        kind: "DEFERRED" for reading, which waits for nobody; "IMMEDIATE" for writing, one process
            at a time.

    Raises:
        UserError: the disk is full, fails or is read-only, the file is damaged, or another process
            has been writing for too long.
    """
    with _failures_told(path):
        connection.execute(f"BEGIN {kind}")
        try:
            yield
            connection.execute("COMMIT")
        finally:
            # After some errors SQLite has rolled back already; a failing disk may prevent it.
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")


def _initialise(connection: sqlite3.Connection, path: Path) -> None:
    """Makes the tables in an empty file; checks that any other file is a cache of this version."""
    connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
    # The lock of a writer leaves the tables to one of several processes that start together.
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
                "is not a cache of bottlenecks (it is another program's SQLite file); "
                "name another folder or delete it",
            )
        elif version != _VERSION:
            age = "an older" if version < _VERSION else "a newer"
            raise _user_error(
                path,
                f"was written by {age} version of retrain (format {version}, not {_VERSION}); "
                "delete it, which costs no more than computing the bottlenecks anew, or name "
                "another folder",
            )


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Puts the file into write-ahead mode, where it is not yet."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            # SQLite does not wait by itself here, when other processes open a new file just now.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    # In this mode it leaves the file whole at any time, and costs no wait for the disk per batch.
    connection.execute("PRAGMA synchronous = NORMAL")


def _try_to_write(connection: sqlite3.Connection, path: Path) -> None:
    """Writes what is there already: it is better to fail now than after the first batch."""
    with transaction(connection, path, "IMMEDIATE"):
        connection.execute(f"PRAGMA user_version = {_VERSION}")


@contextlib.contextmanager
def _failures_told(path: Path) -> Iterator[None]:
    """Turns the failures that the user can mend into UserError, and lets the others pass."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        for part, meaning in _FAILURES.items():
            if part in str(error):
                raise _user_error(path, meaning.format(error)) from error
        raise


def _user_error(path: Path, what: str) -> UserError:
    return UserError(f"--bottleneck_dir={path.parent}: {path} {what}")

"""Opens and checks the SQLite file of the bottleneck cache, and explains its errors to users."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from retrain.errors import UserError
from retrain.system.files.private_files import check_private

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
_TABLES = (
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
)
# Files of earlier versions do not have this column. Earlier versions ignore it.
_ADD_CHECKSUMS = "ALTER TABLE bottlenecks ADD COLUMN checksum INTEGER"
_MARKS = (f"PRAGMA application_id = {_APPLICATION_ID}", f"PRAGMA user_version = {_VERSION}")

# Parts of SQLite's error messages, and the messages for the user. Error codes would be more
# reliable, but Python 3.10 does not have them.
_EXPLANATIONS = {
    "not a database": "is not a bottleneck cache ({}); use another folder or delete the file",
    "malformed": "is damaged ({}); delete it or use another folder",
    "unsupported file format": "is damaged ({}); delete it or use another folder",
    "too big": "is damaged ({}); delete it or use another folder",
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
    _check_files(path)
    with _explain_errors(path):
        connection = sqlite3.connect(path, timeout=_TIMEOUT_SECONDS, isolation_level=None)
        # In a damaged file, any column can contain text, even text that is not valid.
        connection.text_factory = bytes
        try:
            # Expressions in a file of someone else can only compute, and damage is found earlier.
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            _create_tables(connection, path)
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
            raise _user_error(
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
            for statement in (*_TABLES, _ADD_CHECKSUMS, *_MARKS):
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
        else:
            _check_tables(connection, path)


def _check_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Checks that the file has these tables and nothing else, such as a trigger.

    Adds what a file of an earlier version lacks.
    """
    schema = _schema(connection)
    with contextlib.closing(sqlite3.connect(":memory:")) as expected:
        expected.text_factory = bytes
        for statement in _TABLES:
            expected.execute(statement)
        if schema == _schema(expected):
            connection.execute(_ADD_CHECKSUMS)
            return
        expected.execute(_ADD_CHECKSUMS)
        if schema != _schema(expected):
            raise _user_error(
                path,
                "is not a bottleneck cache (its tables are different ones); use another folder or "
                "delete the file",
            )


def _schema(connection: sqlite3.Connection) -> set[tuple[object, ...]]:
    """Returns everything that is defined in a file, except the statistics of `ANALYZE`."""
    query = (
        "SELECT type, name, tbl_name, sql FROM sqlite_master"
        " WHERE type != 'table' OR name NOT IN ('sqlite_stat1', 'sqlite_stat4')"
    )
    # Versions of SQLite and of this program can use different spaces.
    return {
        tuple(b" ".join(value.split()) if value else value for value in row)
        for row in connection.execute(query)
    }


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
    except UnicodeDecodeError as error:
        # Python cannot decode a message of SQLite about a damaged name.
        raise damage_error(path, error.object.decode(errors="replace")) from error


def damage_error(path: Path, reason: object) -> UserError:
    """Returns the error for a file whose content contradicts itself."""
    return _user_error(path, f"is damaged ({reason}); delete it or use another folder")


def _user_error(path: Path, explanation: str) -> UserError:
    return UserError(f"--bottleneck_dir={path.parent}: {path} {explanation}")

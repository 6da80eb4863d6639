"""Defines the tables of the bottleneck cache, and checks that a file has these tables."""

import contextlib
import sqlite3
from pathlib import Path

from retrain.bottlenecks.sqlite_errors import user_error

# In the header of the file: https://sqlite.org/fileformat2.html#the_database_header
_APPLICATION_ID = int.from_bytes(b"Btln", "big")
VERSION = 2

# Name of the columns with the SHA-256 of an image file, as in the files of earlier versions.
DIGEST = "picture"

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
_MARKS = (f"PRAGMA application_id = {_APPLICATION_ID}", f"PRAGMA user_version = {VERSION}")


def create_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Creates the tables in an empty file, or checks that the file is a cache of this format.

    Args:
        connection: Connection in a transaction for writing.
        path: Path of the file, for messages.

    Raises:
        UserError: If the file is not a cache or has another format.
    """
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
        raise user_error(
            path,
            "is not a bottleneck cache (it is an SQLite file of another program); "
            "use another folder or delete the file",
        )
    elif version != VERSION:
        age = "an older" if version < VERSION else "a newer"
        raise user_error(
            path,
            f"was written by {age} version of retrain (format {version}, not {VERSION}); "
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
            raise user_error(
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

"""Reads ZIP archives of others within limits on their size.

An archive of a kilobyte can state or contain files of many gigabytes.
"""

import contextlib
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from retrain.model_limits import LIMITS
from retrain.system.text import first_line, one_line

_MAX_REASON = 200
# Programs that write models use no other methods. A piece of data in bzip2 or LZMA can grow a
# thousandfold before its size is known.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What the standard library raises for damaged archives.
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(ValueError, RuntimeError, OverflowError, IndexError, TypeError),
)


class ArchiveError(Exception):
    """An archive cannot be used. The message is one line that says why."""


@contextlib.contextmanager
def open_zip(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Opens a ZIP archive whose files are few and small enough to be read into memory.

    Args:
        file: The archive. The position in it does not matter.

    Raises:
        ArchiveError: If the archive is damaged or exceeds the limits, also while the caller reads.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            check_count(len(entries))
            check_size(sum(entry.file_size for entry in entries), file.seek(0, os.SEEK_END))
            for entry in entries:
                if entry.compress_type not in _METHODS:
                    raise ArchiveError(f"{shown(entry.filename)} is not compressed by deflate")
            yield archive
    except (*DAMAGED, OSError) as error:
        raise ArchiveError(
            f"it is a damaged ZIP archive ({first_line(error)[:_MAX_REASON]})"
        ) from error


def read_zip_entry(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    """Returns the content of a file in an archive that `open_zip` opened.

    Raises:
        ArchiveError: If the file is larger than `max_bytes`.
        KeyError: If there is no such file.
    """
    entry = archive.getinfo(name)
    if entry.file_size > max_bytes:
        raise ArchiveError(
            f"its {shown(name)} has {entry.file_size:,} bytes, more than the limit of {max_bytes:,}"
        )
    return archive.read(entry)


def check_count(count: int) -> None:
    """Raises ArchiveError if an archive has too many files."""
    if count > LIMITS.entries:
        raise ArchiveError(f"it contains more than {LIMITS.entries:,} files")


def check_size(size: int, packed: int) -> None:
    """Raises ArchiveError if an archive unpacks to too many bytes.

    Args:
        size: Number of bytes that it unpacks to.
        packed: Size of the archive in bytes.
    """
    limit = LIMITS.unpacked(packed)
    if size > limit:
        raise ArchiveError(
            f"its {packed:,} bytes unpack to more than the {limit:,} bytes that an archive of this "
            "size can hold"
        )


def shown(name: str) -> str:
    """Returns the name of a file in an archive for a message."""
    return one_line(name[:80])

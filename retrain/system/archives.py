"""Reads archives of others within limits on their size, and never writes outside of a folder.

An archive of a kilobyte can state or contain files of many gigabytes.
"""

import contextlib
import gzip
import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from retrain.model_limits import LIMITS
from retrain.system.text import first_line, one_line

_GZIP_START = b"\x1f\x8b"
_PIECE_BYTES = 1 << 20
_MAX_REASON = 200
# Programs that write models use no other methods. A piece of data in bzip2 or LZMA can grow a
# thousandfold before its size is known.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What the standard library raises for damaged archives.
_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, EOFError),
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
            _check_count(len(entries))
            _check_size(sum(entry.file_size for entry in entries), file.seek(0, os.SEEK_END))
            for entry in entries:
                if entry.compress_type not in _METHODS:
                    raise ArchiveError(f"{_shown(entry.filename)} is not compressed by deflate")
            yield archive
    except (*_DAMAGED, OSError) as error:
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
            f"its {_shown(name)} has {entry.file_size:,} bytes, more than the limit of "
            f"{max_bytes:,}"
        )
    return archive.read(entry)


def unpack_tar(file: IO[bytes], folder: Path) -> None:
    """Unpacks a TAR archive, compressed with gzip or not, into a folder.

    Owners, permissions and times in the archive are ignored.

    Args:
        file: The archive, at its beginning.
        folder: An existing, empty folder.

    Raises:
        ArchiveError: If the archive is damaged, exceeds the limits, or contains anything except
            files and folders.
        OSError: If a file cannot be written.
    """
    packed = file.seek(0, os.SEEK_END)
    file.seek(0)
    is_compressed = file.read(len(_GZIP_START)) == _GZIP_START
    file.seek(0)
    source = gzip.GzipFile(fileobj=file) if is_compressed else file
    stream = _ForwardReader(source, LIMITS.unpacked(packed), packed)
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for count, member in enumerate(archive, start=1):
                _check_count(count)
                _unpack_member(archive, member, folder)
        # gzip checks the data only at the end of the file.
        while stream.read(_PIECE_BYTES):
            pass
    except (*_DAMAGED, gzip.BadGzipFile) as error:
        raise ArchiveError(first_line(error).rstrip(":")) from error


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    path = PurePosixPath(member.name)
    is_inside = not path.is_absolute() and not {"..", "\0", "\\"} & {*path.parts, *member.name}
    if not is_inside or member.issparse() or not (member.isfile() or member.isdir()):
        raise ArchiveError(f"{_shown(member.name)} is not a file inside the archive")
    target = folder / path
    try:
        (target if member.isdir() else target.parent).mkdir(parents=True, exist_ok=True)
        if member.isfile():
            _write(archive, member, target)
    except (FileExistsError, NotADirectoryError) as error:
        raise ArchiveError(f"it contains {_shown(member.name)} twice") from error


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    content = archive.extractfile(member)
    assert content is not None
    with target.open("xb") as file:
        while piece := content.read(_PIECE_BYTES):
            file.write(piece)


class _ForwardReader(io.RawIOBase):
    """A file that is read once from its beginning to its end, in small pieces, up to a limit.

    `tarfile` reads some headers as a whole, whatever size they state, and follows positions that
    lead back.
    """

    def __init__(self, file: IO[bytes] | gzip.GzipFile, limit: int, packed: int) -> None:
        super().__init__()
        self._file = file
        self._limit = limit
        self._packed = packed
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _PIECE_BYTES:
            raise ArchiveError("it has a header without end")
        _check_size(self._position + size, self._packed, limit=self._limit + _PIECE_BYTES)
        data = self._file.read(size)
        self._position += len(data)
        return data

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or position < self._position:
            raise ArchiveError("its parts overlap")
        while self._position < position:
            if not self.read(min(_PIECE_BYTES, position - self._position)):
                break
        return self._position


def _check_count(count: int) -> None:
    if count > LIMITS.entries:
        raise ArchiveError(f"it contains more than {LIMITS.entries:,} files")


def _check_size(size: int, packed: int, *, limit: int | None = None) -> None:
    limit = LIMITS.unpacked(packed) if limit is None else limit
    if size > limit:
        raise ArchiveError(
            f"its {packed:,} bytes unpack to more than the {LIMITS.unpacked(packed):,} bytes that "
            "an archive of this size can hold"
        )


def _shown(name: str) -> str:
    return one_line(name[:80])

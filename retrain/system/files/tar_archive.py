"""Unpacks TAR archives of others within limits on their size, and never outside of a folder."""

import gzip
import io
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from retrain.system.files.archives import DAMAGED, ArchiveError, check_count, check_size, shown
from retrain.system.text import first_line

_GZIP_START = b"\x1f\x8b"
_PIECE_BYTES = 1 << 20


def unpack(file: IO[bytes], folder: Path) -> None:
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
    stream = _ForwardReader(source, packed)
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for count, member in enumerate(archive, start=1):
                check_count(count)
                _unpack_member(archive, member, folder)
        # gzip checks the data only at the end of the file.
        while stream.read(_PIECE_BYTES):
            pass
    except (*DAMAGED, tarfile.TarError, gzip.BadGzipFile) as error:
        raise ArchiveError(first_line(error).rstrip(":")) from error


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    path = PurePosixPath(member.name)
    is_inside = not path.is_absolute() and ".." not in path.parts
    is_inside = is_inside and not set("\0\\") & set(member.name)
    if not is_inside or member.issparse() or not (member.isfile() or member.isdir()):
        raise ArchiveError(f"{shown(member.name)} is not a file inside the archive")
    target = folder / path
    try:
        (target if member.isdir() else target.parent).mkdir(parents=True, exist_ok=True)
        if member.isfile():
            _write(archive, member, target)
    except (FileExistsError, NotADirectoryError) as error:
        raise ArchiveError(f"it contains {shown(member.name)} twice") from error


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    content = archive.extractfile(member)
    assert content is not None
    with target.open("xb") as file:
        while piece := content.read(_PIECE_BYTES):
            file.write(piece)


class _ForwardReader(io.RawIOBase):
    """A TAR archive that is read once from its beginning to its end, in small pieces.

    `tarfile` reads some headers as a whole, whatever size they state, and follows positions that
    lead back.
    """

    def __init__(self, file: IO[bytes] | gzip.GzipFile, packed: int) -> None:
        super().__init__()
        self._file = file
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
        # The last piece that is requested can end after the file.
        check_size(self._position + size - _PIECE_BYTES, self._packed)
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

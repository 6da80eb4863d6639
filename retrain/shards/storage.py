"""Lists, reads and writes files in folders of any file system: local, in memory, or remote."""

import contextlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from retrain.bottlenecks.file_version import SETTLING_NS
from retrain.errors import UserError
from retrain.shards import file_systems
from retrain.system import optional_packages
from retrain.system.outputs.atomic_files import write_file

# What the listings of other file systems have instead of the time of the last change, best first.
_VERSION_KEYS = ("etag", "ETag", "md5", "generation", "mtime", "last_modified", "created")


class StoredFile(NamedTuple):
    """A file in a storage.

    Attributes:
        name: Path relative to the root, with `/` as separator.
        size: Size in bytes.
        modified: Text that changes if the content changes: the time of the last change in
            nanoseconds, or what the file system has instead. Empty if there is no such text, or
            if the file changed so recently that its time could stay the same when it changes again.
    """

    name: str
    size: int
    modified: str


class Storage:
    """A folder of a file system. Can be used by any number of threads.

    All methods raise UserError if the storage cannot be used, for example because access is denied.

    Attributes:
        url: Local path, or URL such as `s3://bucket/folder`.
        flag: Name of the flag that the URL is from, for messages.
        is_local: Whether other programs on this machine see the files as paths.
    """

    def __init__(self, url: str, flag: str) -> None:
        """Connects to the file system.

        Args:
            url: Local path, or URL such as `s3://bucket/folder`.
            flag: Name of the flag that the URL is from.

        Raises:
            UserError: If there is no such file system, or a package is missing.
        """
        self.url, self.flag = url, flag
        optional_packages.require("pyarrow", "fsspec", purpose=f"--{flag}={url}")
        with self.explain():
            self._file_system, self._root = file_systems.connect(url)
        self.is_local = self._file_system.type_name == "local"

    @property
    def can_be_shared(self) -> bool:
        """Whether other machines can see the same files at this path or URL."""
        return not self.url.startswith("memory:")

    def path(self, name: str) -> Path:
        """Returns the path of a file in a local folder."""
        return Path(self._root, name)

    def list_files(self, *, recursive: bool = True) -> list[StoredFile]:
        """Returns all files, in any order. A folder that does not exist has none.

        In a bucket, a folder exists only if it has files, but the bucket itself must exist.
        """
        with self.explain():
            try:
                return list(self._list(recursive=recursive))
            except FileNotFoundError:
                return []

    def _list(self, *, recursive: bool) -> Iterator[StoredFile]:
        from pyarrow import fs

        prefix = self._root.rstrip("/") + "/"
        if isinstance(self._file_system, fs.PyFileSystem):
            # Arrow's adapter does not pass on versions.
            source = self._file_system.handler.fs
            depth = None if recursive else 1
            found = source.find(self._root, maxdepth=depth, detail=True, on_error="raise")
            for path, details in found.items():
                version = next((details[k] for k in _VERSION_KEYS if details.get(k)), "")
                name = path.lstrip("/").removeprefix(prefix.lstrip("/"))
                yield StoredFile(name, details["size"] or 0, str(version))
            return
        for info in self._file_system.get_file_info(
            fs.FileSelector(self._root, recursive=recursive)
        ):
            if info.type == fs.FileType.File:
                name = info.path.removeprefix(prefix)
                yield StoredFile(name, info.size or 0, _time_text(info.mtime_ns))

    def describe_file(self, name: str) -> StoredFile | None:
        """Returns what `list_files` says about a file in a local folder; None if there is none."""
        try:
            status = self.path(name).stat()
        except OSError:
            return None
        return StoredFile(name, status.st_size, _time_text(status.st_mtime_ns))

    def find(self, prefix: str, suffix: str) -> list[str]:
        """Returns the sorted names of files directly in the folder that start and end like this."""
        names = (file.name for file in self.list_files(recursive=False))
        return sorted(name for name in names if name.startswith(prefix) and name.endswith(suffix))

    def read(self, name: str) -> bytes:
        """Returns the content of a file.

        Raises:
            FileNotFoundError: If there is no such file.
            UserError: See the class.
        """
        with self.explain(), self._file_system.open_input_stream(self._join(name)) as stream:
            return stream.read()

    def open_random(self, name: str) -> Any:
        """Opens a file for reads at any position.

        Raises:
            FileNotFoundError: If there is no such file.
            UserError: See the class.
        """
        with self.explain():
            return self._file_system.open_input_file(self._join(name))

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, which appears complete or not at all, whatever happens."""
        try:
            with self.explain():
                self._write(name, content)
        except FileNotFoundError as error:
            raise UserError(
                f"--{self.flag}={self.url} cannot be written: {file_systems.error_reason(error)}; "
                "check that the folder or bucket exists"
            ) from error

    def _write(self, name: str, content: bytes) -> None:
        from pyarrow import fs

        if self.is_local:
            path = self.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, content)
        elif isinstance(self._file_system, fs.PyFileSystem):
            target = self._file_system.handler.fs
            target.makedirs(self._root, exist_ok=True)
            temporary = self._join(f".{uuid.uuid4().hex}.tmp")
            target.pipe_file(temporary, content)
            target.mv(temporary, self._join(name))
        else:
            # An object appears when its upload is complete.
            with self._file_system.open_output_stream(self._join(name)) as stream:
                stream.write(content)

    def check_writable(self) -> None:
        """Checks that files can be written. Leaves nothing behind."""
        name = f".{uuid.uuid4().hex}.tmp"
        self.write(name, b"retrain checks that it can write here")
        with self.explain():
            self._file_system.delete_file(self._join(name))

    def _join(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @contextlib.contextmanager
    def explain(self) -> Iterator[None]:
        """Turns errors of the file system in the block into UserError, except FileNotFoundError."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, ValueError, ImportError) as error:
            raise UserError(
                f"--{self.flag}={self.url} cannot be used: {file_systems.error_reason(error)}; "
                "check the address, your credentials and your permissions"
            ) from error


def _time_text(mtime_ns: int | None) -> str:
    """Returns the time of the last change as text, or nothing if another change can follow.

    A file that is written twice within a step of the file system's clock can have the same time
    with different content. Its time therefore says nothing until the step is over.
    """
    is_settled = mtime_ns is not None and mtime_ns < time.time_ns() - SETTLING_NS
    return str(mtime_ns) if is_settled else ""

"""Detects damage of folders that are kept for later runs.

The SHA-256 of each file is in a file `SHA256SUMS`, which `sha256sum --check` can also verify.
"""

import hashlib
from pathlib import Path
from typing import Any

from retrain.system.files.private_files import open_private, read_private
from retrain.system.processors import processor_count
from retrain.system.threads import parallel_map

FILE_NAME = "SHA256SUMS"

_CHUNK_BYTES = 1 << 20


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's content in hexadecimal."""
    return _hexdigest(path, hashlib.sha256())


def md5(path: Path) -> str:
    """Returns the MD5 of a file's content in hexadecimal, which only detects accidents."""
    return _hexdigest(path, hashlib.md5(usedforsecurity=False))


def _hexdigest(path: Path, algorithm: Any) -> str:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            algorithm.update(chunk)
    return algorithm.hexdigest()


def write_checksums(folder: Path) -> None:
    """Writes the checksums of all files in a new folder.

    Raises:
        OSError: If a file cannot be read or written.
    """
    content = _compute(folder)
    with open(folder / FILE_NAME, "wb", opener=open_private) as file:
        file.write(content)


def are_right(folder: Path) -> bool:
    """Returns whether a folder contains exactly the files that `write_checksums` saw.

    The result is True for a folder without checksums, as earlier versions left it.

    Raises:
        OSError: If a file cannot be read.
    """
    try:
        stated = read_private(folder / FILE_NAME)
    except FileNotFoundError:
        return True
    return stated == _compute(folder)


def _compute(folder: Path) -> bytes:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [path for path in paths if path.name != FILE_NAME]
    digests = parallel_map(sha256, files, processor_count())
    lines = (
        f"{digest}  {path.relative_to(folder).as_posix()}\n"
        for digest, path in zip(digests, files, strict=True)
    )
    return "".join(lines).encode(errors="surrogateescape")

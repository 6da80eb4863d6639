"""Computes the digests by which an undo recognizes images."""

import hashlib
import os
from pathlib import Path

from retrain.system.files.regular_files import open_regular_file
from tools.transfers.folder_tree import Place

_CHUNK_BYTES = 1 << 20


def of_image(path: Path, *, moves: bool) -> str | None:
    """Returns the SHA-256 of what a run puts into the target folder, in hexadecimal.

    Args:
        path: Path of the image.
        moves: Whether images are moved. A moved link stays a link, and its target is the content.

    Returns:
        The digest, or None if the image cannot be read.
    """
    try:
        if moves and path.is_symlink():
            return _of_bytes(os.fsencode(os.path.realpath(path)))
        with open_regular_file(path) as file:
            return of_file(file.fileno())
    except OSError:
        return None


def of_link(place: Place) -> str:
    """Returns the SHA-256 of the target of a symbolic link."""
    return _of_bytes(os.fsencode(os.readlink(place.name, dir_fd=place.folder)))


def of_file(descriptor: int) -> str:
    """Returns the SHA-256 of the content of an open file."""
    digest, position = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, _CHUNK_BYTES, position):
        digest.update(chunk)
        position += len(chunk)
    return digest.hexdigest()


def _of_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

"""Checks that an HDF5 file of weights holds its own data, and not more than its size allows."""

import io
import os
import zipfile
from collections.abc import Iterator
from typing import IO, Any

from retrain.model_limits import LIMITS
from retrain.runtimes.runtime import ModelError
from retrain.system.files import archives
from retrain.system.text import first_line, one_line

# The file with the weights in the archive that Keras 3 writes.
KERAS_WEIGHTS = "model.weights.h5"

# A global heap holds the text in a file: a header, and objects that each have a header. Their sizes
# are in bytes 8 to 15 of the headers, if numbers have 8 bytes in the file.
# https://docs.hdfgroup.org/hdf5/latest/_f_m_t3.html#GlobalHeap
_HEAP = b"GCOL\1"
_HEADER_BYTES = 16
_PIECE_BYTES = 1 << 24


def check_hdf5(file: IO[bytes]) -> None:
    """Checks all groups and datasets of a file, without reading the data.

    HDF5 files can refer to other files, whose content would become weights, and can state sizes
    for which they hold no data.

    Args:
        file: The file. The position in it does not matter, and is at the beginning afterwards.

    Raises:
        ModelError: If something in the file is elsewhere, or all of it is too large.
        Exception: Of many types, if the file is damaged in other ways.
    """
    import h5py

    size = file.seek(0, os.SEEK_END)
    _check_heaps(file, size)
    with h5py.File(file, "r") as content:
        if content.id.get_create_plist().get_sizes() != (8, 8):
            raise ModelError("it stores sizes in an unusual way; save it again with Keras or h5py")
        _check_items(content, size)
    file.seek(0)


def check_keras_archive(archive: zipfile.ZipFile) -> None:
    """Checks the weights in an archive that `archives.open_zip` opened.

    Raises:
        ModelError: As for `check_hdf5`, or if the weights are damaged.
    """
    if KERAS_WEIGHTS in archive.namelist():
        content = archives.read_zip_entry(archive, KERAS_WEIGHTS, LIMITS.unpacked_bytes)
        try:
            check_hdf5(io.BytesIO(content))
        except ModelError:
            raise
        # h5py raises exceptions of many types for damaged files.
        except Exception as error:
            raise ModelError(f"its weights are damaged ({first_line(error)})") from error


def _check_heaps(file: IO[bytes], size: int) -> None:
    """Raises ModelError for an object without a size, at which the library would stay forever.

    All heaps together are read at most once, so that a file cannot make the check take long.
    """
    total = 0
    for position in _find_heaps(file):
        file.seek(position)
        heap_bytes = int.from_bytes(file.read(_HEADER_BYTES)[8:], "little")
        start, end = position + _HEADER_BYTES, position + heap_bytes
        if end > size:
            continue  # The library refuses it.
        total += heap_bytes
        if total > size:
            raise ModelError("it is damaged: lists of texts in it overlap")
        while start + _HEADER_BYTES <= end:
            file.seek(start)
            header = file.read(_HEADER_BYTES)
            number = int.from_bytes(header[:2], "little")
            length = int.from_bytes(header[8:], "little")
            if number:
                start += _HEADER_BYTES + (length + 7) // 8 * 8
            elif length >= _HEADER_BYTES:
                start += length  # Free space, whose length includes its header.
            else:
                raise ModelError("it is damaged: a list of texts in it has no end")


def _find_heaps(file: IO[bytes]) -> Iterator[int]:
    """Yields the positions of all heaps."""
    offset, rest = 0, b""
    file.seek(0)
    while piece := file.read(_PIECE_BYTES):
        next_offset = file.tell()
        data = rest + piece
        found = data.find(_HEAP)
        while found >= 0:
            yield offset - len(rest) + found
            found = data.find(_HEAP, found + 1)
        rest = data[1 - len(_HEAP) :]
        offset = next_offset
        file.seek(offset)


def _check_items(content: Any, packed: int) -> None:
    import h5py

    pending, visited, size = [content], set(), 0
    while pending:
        group = pending.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in visited:
            continue
        visited.add(address)
        for name in group:
            is_link = group.get(name, getclass=True, getlink=True) is not h5py.HardLink
            item = None if is_link else group[name]
            if isinstance(item, h5py.Group):
                pending.append(item)
            elif isinstance(item, h5py.Dataset):
                is_link = bool(item.external) or item.is_virtual
                size += item.nbytes
            if is_link:
                raise ModelError(f"its {one_line(name[:80])} refers to data somewhere else")
            if size > LIMITS.unpacked(packed):
                raise ModelError(
                    f"its {packed:,} bytes state more than {LIMITS.unpacked(packed):,} bytes of "
                    "weights"
                )

"""Reads tensors from files that PyTorch wrote before version 1.6, without PyTorch.

The format, according to `_legacy_load` in `torch/serialization.py`: A file starts with five
pickles, which are a magic number, a protocol version, the sizes of types on the writer's machine,
the state dictionary and the list of storage keys. The storages follow in the order of the keys,
each with its element count as a little-endian int64 and its raw elements. A tensor is a view of a
storage, with an offset, a shape and strides in elements.

A pickle can call any function of any module, so unpickling a file means running a program. This
reader allows only the few names that a file of plain tensors needs.
"""

import collections
import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class DamagedFileError(Exception):
    """The file does not have the expected format. The message names the file and the reason."""


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    size: int


class _View(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _view(
    storage: _Storage, offset: int, shape: Sequence[int], strides: Sequence[int], *_: Any
) -> _View:
    return _View(storage, offset, tuple(shape), tuple(strides))


_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    **{("torch", name): dtype for name, dtype in _DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _location, size, view = pid
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError(f"it refers to {pid!r}")
        return _Storage(key, storage_type, size)


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of the state dictionary in a file by name.

    Args:
        path: Path of a file with a dictionary of tensors in PyTorch's format before version 1.6.

    Returns:
        Arrays in C order, float32 or int64, with the shapes in the file.

    Raises:
        DamagedFileError: If the file has another format, is truncated or too long, or contains
            anything but float32 and int64 tensors.
        OSError: If the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            views = _read_views(file)
            storages = _read_storages(file, views)
            if file.read(1):
                raise ValueError("it has extra bytes at its end")
        return {name: _tensor(name, view, storages) for name, view in views.items()}
    except OSError:
        raise
    # Unpickling damaged data can raise any exception.
    except Exception as error:
        raise DamagedFileError(f"{path} is not a file of plain PyTorch tensors: {error}") from error


def _read_views(file: IO[bytes]) -> dict[str, _View]:
    if _Unpickler(file).load() != _MAGIC_NUMBER:
        raise ValueError("its magic number is wrong")
    if (version := _Unpickler(file).load()) != _PROTOCOL_VERSION:
        raise ValueError(f"its protocol version is {version}, not {_PROTOCOL_VERSION}")
    if not _Unpickler(file).load()["little_endian"]:
        raise ValueError("it is big-endian")
    views = _Unpickler(file).load()
    for name, view in views.items():
        if not isinstance(view, _View):
            raise ValueError(f"{name} is a {type(view).__name__}, not a tensor")
    return dict(views)


def _read_storages(file: IO[bytes], views: dict[str, _View]) -> dict[str, np.ndarray]:
    declared = {view.storage.key: view.storage for view in views.values()}
    keys = _Unpickler(file).load()
    if sorted(keys) != sorted(declared):
        raise ValueError("its storages do not match its tensors")
    storages = {}
    for key in keys:
        _, dtype, size = declared[key]
        if int.from_bytes(file.read(8), "little") != size:
            raise ValueError(f"storage {key} does not have {size} elements")
        data = file.read(size * dtype.itemsize)
        if len(data) != size * dtype.itemsize:
            raise ValueError(f"storage {key} is truncated")
        storages[key] = np.frombuffer(data, dtype)
    return storages


def _tensor(name: str, view: _View, storages: dict[str, np.ndarray]) -> np.ndarray:
    storage = storages[view.storage.key]
    if len(view.shape) != len(view.strides) or min((view.offset, *view.shape, *view.strides)) < 0:
        raise ValueError(f"{name} has a malformed shape or stride")
    last = view.offset + sum((n - 1) * s for n, s in zip(view.shape, view.strides, strict=True))
    # A stride of 0 repeats a number, and so does every other view of more numbers than there are.
    if not 0 < math.prod(view.shape) <= storage.size or last >= storage.size:
        raise ValueError(f"{name} extends beyond its storage")
    strides = [stride * storage.itemsize for stride in view.strides]
    return np.ascontiguousarray(
        np.lib.stride_tricks.as_strided(storage[view.offset :], view.shape, strides)
    ).reshape(view.shape)

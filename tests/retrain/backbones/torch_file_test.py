"""Plain tensors are read from files of old PyTorch versions, and everything else is refused."""

import collections
import io
import os
import pickle
import struct
import sys
import types
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.backbones.torch_file import DamagedFileError, read_tensors

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C


class _Storage:
    """A storage, which is pickled by its persistent ID like those of PyTorch."""

    def __init__(self, key: str, values: np.ndarray) -> None:
        self.key = key
        self.values = values


class _Tensor:
    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, _Storage):
            torch = sys.modules["torch"]
            kind = torch.FloatStorage if obj.values.dtype == np.float32 else torch.LongStorage
            return ("storage", kind, obj.key, "cpu", len(obj.values), None)
        return None


def _define(module: str, name: str):
    value = type(name, (), {"__module__": module, "__qualname__": name})
    setattr(sys.modules[module], name, value)


def _pickled(value) -> bytes:
    file = io.BytesIO()
    _Pickler(file, protocol=2).dump(value)
    return file.getvalue()


class TorchFileTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for module in ("torch", "torch._utils"):
            sys.modules[module] = types.ModuleType(module)
        _define("torch", "FloatStorage")
        _define("torch", "LongStorage")
        _define("torch._utils", "_rebuild_tensor_v2")

    @classmethod
    def tearDownClass(cls):
        for module in ("torch", "torch._utils"):
            del sys.modules[module]
        super().tearDownClass()

    def file(self, tensors, storages, magic=_MAGIC_NUMBER, version=1001, tail=b"") -> Path:
        content = [
            _pickled(magic),
            _pickled(version),
            _pickled({"little_endian": True}),
            _pickled(collections.OrderedDict(tensors)),
            _pickled([storage.key for storage in storages]),
        ]
        for storage in storages:
            content += [struct.pack("<q", len(storage.values)), storage.values.tobytes()]
        return Path(self.create_tempfile(content=b"".join(content) + tail, mode="wb").full_path)

    def test_tensors_have_the_offset_shape_and_strides_of_the_file(self):
        storage = _Storage("7", np.arange(10, dtype=np.float32))
        path = self.file({"w": _Tensor(storage, 1, (2, 3), (1, 3))}, [storage])
        np.testing.assert_array_equal(read_tensors(path)["w"], [[1, 4, 7], [2, 5, 8]])

    def test_a_tensor_cannot_repeat_numbers_to_fill_the_memory(self):
        storage = _Storage("0", np.arange(10, dtype=np.float32))
        for shape, strides in (((10**12,), (0,)), ((10**6, 10**6), (0, 0)), ((11,), (0,))):
            path = self.file({"w": _Tensor(storage, 0, shape, strides)}, [storage])
            with self.assertRaisesRegex(DamagedFileError, "w extends beyond its storage"):
                read_tensors(path)

    def test_integers_and_scalars_are_read(self):
        storage = _Storage("0", np.array([42], np.int64))
        value = read_tensors(self.file({"n": _Tensor(storage, 0, (), ())}, [storage]))["n"]
        self.assertEqual((value.shape, value.dtype, value.item()), ((), np.int64, 42))

    def assert_refused(self, path: Path, reason: str) -> None:
        with self.assertRaisesRegex(DamagedFileError, reason) as raised:
            read_tensors(path)
        self.assertIn(str(path), str(raised.exception))

    def test_a_view_beyond_its_storage_is_refused(self):
        storage = _Storage("0", np.zeros(6, np.float32))
        self.assert_refused(
            self.file({"w": _Tensor(storage, 1, (2, 3), (3, 1))}, [storage]), "w extends beyond"
        )

    def test_a_negative_stride_is_refused(self):
        storage = _Storage("0", np.zeros(6, np.float32))
        self.assert_refused(
            self.file({"w": _Tensor(storage, 5, (2, 3), (-3, -1))}, [storage]), "malformed"
        )

    def test_functions_of_other_modules_are_refused_and_not_called(self):
        marker = Path(self.create_tempdir().full_path) / "called"

        class Attack:
            def __reduce__(self):
                return os.mkdir, (str(marker),)

        self.assert_refused(self.file({"w": Attack()}, []), f"it names {os.mkdir.__module__}.mkdir")
        self.assertFalse(marker.exists())

    def test_a_value_that_is_not_a_tensor_is_refused(self):
        self.assert_refused(self.file({"w": 3}, []), "w is a int, not a tensor")

    def test_another_format_is_refused(self):
        self.assert_refused(self.file({}, [], magic=1), "magic number")
        self.assert_refused(self.file({}, [], version=1002), "protocol version")
        zip_file = self.create_tempfile(content=b"PK\x03\x04 and so on", mode="wb")
        self.assert_refused(Path(zip_file.full_path), "not a file of plain PyTorch tensors")

    def test_a_file_that_is_truncated_anywhere_or_too_long_is_refused(self):
        storage = _Storage("0", np.arange(6, dtype=np.float32))
        tensors = {"w": _Tensor(storage, 0, (6,), (1,))}
        whole = self.file(tensors, [storage]).read_bytes()
        for length in range(len(whole)):
            truncated = self.create_tempfile("truncated", content=whole[:length], mode="wb")
            self.assert_refused(Path(truncated.full_path), "not a file")
        self.assert_refused(self.file(tensors, [storage], tail=b"x"), "extra bytes")

    def test_damage_anywhere_in_the_header_raises_no_other_exception(self):
        storage = _Storage("0", np.arange(6, dtype=np.float32))
        whole = self.file({"w": _Tensor(storage, 0, (6,), (1,))}, [storage]).read_bytes()
        for place in range(len(whole) - storage.values.nbytes):
            damaged = bytearray(whole)
            damaged[place] ^= 0xFF
            path = Path(self.create_tempfile("bad", content=bytes(damaged), mode="wb").full_path)
            try:
                read_tensors(path)
            except DamagedFileError as error:
                self.assertIn(str(path), str(error))


if __name__ == "__main__":
    absltest.main()

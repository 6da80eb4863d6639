"""Tests that fields of flatbuffers are read by name, and that damage is one kind of error."""

import flatbuffers
import numpy as np
from absl.testing import absltest

from retrain.runtimes.flatbuffer_table import FlatbufferError, FlatbufferTable

_FIELDS = {"Outer": ("number", "text", "floats", "inner", "list"), "Inner": ("data", "signed")}


def _content(*, complete: bool = True) -> bytes:
    builder = flatbuffers.Builder()
    text = builder.CreateString("grün")
    floats = builder.CreateNumpyVector(np.array([1.5, -2], np.float32))
    data = builder.CreateNumpyVector(np.frombuffer(b"\1\2\3", np.uint8))
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(0, data, 0)
    builder.PrependInt8Slot(1, -5, 0)
    inner = builder.EndObject()
    builder.StartVector(4, 2, 4)
    builder.PrependUOffsetTRelative(inner)
    builder.PrependUOffsetTRelative(inner)
    tables = builder.EndVector()
    builder.StartObject(5)
    if complete:
        builder.PrependUint32Slot(0, 7, 0)
        for field, offset in ((1, text), (2, floats), (3, inner), (4, tables)):
            builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def _read(content: bytes) -> tuple:
    outer = FlatbufferTable.root(content, "Outer", _FIELDS)
    inner = outer.table("inner", "Inner")
    return (
        *(outer.number("number", "I"), outer.text("text"), outer.floats("floats").tolist()),
        *((inner.data("data"), inner.number("signed", "b")) if inner else ()),
        [table.data("data") for table in outer.tables("list", "Inner")],
    )


class FlatbufferTableTest(absltest.TestCase):
    def test_fields_are_read_by_name(self):
        expected = (7, "grün", [1.5, -2.0], b"\1\2\3", -5, [b"\1\2\3", b"\1\2\3"])
        self.assertEqual(_read(_content()), expected)

    def test_missing_fields_have_default_values(self):
        self.assertEqual(_read(_content(complete=False)), (0, "", [], []))

    def test_a_list_has_a_maximum_length(self):
        content = bytearray(_content() + bytes(500_000))
        start = content.index((2).to_bytes(4, "little"), 8)
        while True:
            changed = content.copy()
            changed[start : start + 4] = (100_001).to_bytes(4, "little")
            try:
                _read(bytes(changed))
            except FlatbufferError as error:
                if "100,001 tables" in str(error):
                    break
            start = content.index((2).to_bytes(4, "little"), start + 1)

    def test_damage_is_one_kind_of_error(self):
        content = _content()
        # The text comes last, before a zero and padding, which are not read.
        for end in range(content.index("grün".encode()) + 5):
            with self.assertRaises(FlatbufferError):
                _read(content[:end])
        rng = np.random.default_rng(0)
        errors = 0
        for _ in range(2000):
            damaged = bytearray(content)
            damaged[rng.integers(len(content))] = rng.integers(256)
            try:
                _read(bytes(damaged))
            except FlatbufferError:
                errors += 1
        self.assertGreater(errors, 200)


if __name__ == "__main__":
    absltest.main()

"""Reads tables of flatbuffers by the names of their fields.

The format: https://flatbuffers.dev/internals/
"""

import struct
from collections.abc import Mapping, Sequence

import numpy as np

# A table starts with the distance to its vtable, which holds the size of the vtable, the size of
# the table, and the distance from the table to each field.
_VTABLE_HEADER = 4
# The longest list, that of the buffers of a network, has some thousands of tables.
_MAX_TABLES = 100_000


class FlatbufferError(Exception):
    """The content is not the flatbuffer that it should be. The message says why."""


class FlatbufferTable:
    """A table in a flatbuffer. Missing fields have their default values.

    All methods raise FlatbufferError if the content is damaged.
    """

    def __init__(
        self, content: bytes, position: int, *, name: str, fields: Mapping[str, Sequence[str]]
    ) -> None:
        """Stores where the table is.

        Args:
            content: The flatbuffer.
            position: Position of the table in `content`.
            name: Name of the table.
            fields: Names of the fields of each table, in the order of the schema.
        """
        self._content = content
        self._position = position
        self._names = fields[name]
        self._fields = fields

    @classmethod
    def root(
        cls, content: bytes, name: str, fields: Mapping[str, Sequence[str]]
    ) -> "FlatbufferTable":
        """Returns the outermost table of a flatbuffer."""
        return cls(content, _unpack("<I", content, 0), name=name, fields=fields)

    def number(self, field: str, kind: str) -> int:
        """Returns the value of a field, 0 by default.

        Args:
            field: Name of the field.
            kind: Format of the number in the notation of `struct`, such as "B" for uint8.
        """
        position = self._find(field)
        return _unpack(f"<{kind}", self._content, position) if position else 0

    def text(self, field: str) -> str:
        """Returns the value of a string field, "" by default."""
        return self.data(field).decode("utf-8", "replace")

    def data(self, field: str) -> bytes:
        """Returns the value of a field of bytes, which is empty by default."""
        start, count = self._vector(field, 1)
        return self._content[start : start + count]

    def integers(self, field: str) -> list[int]:
        """Returns the value of a field of int32 numbers, which is empty by default."""
        start, count = self._vector(field, 4)
        return np.frombuffer(self._content, "<i4", count, start).tolist()

    def position(self, field: str) -> int:
        """Returns where in the flatbuffer a field is, or 0 if it is missing."""
        return self._find(field)

    def floats(self, field: str) -> np.ndarray:
        """Returns the value of a field of float32 numbers, which is empty by default."""
        start, count = self._vector(field, 4)
        return np.frombuffer(self._content, "<f4", count, start)

    def table(self, field: str, name: str) -> "FlatbufferTable | None":
        """Returns the table in a field, None by default.

        Args:
            field: Name of the field.
            name: Name of the table that the field refers to.
        """
        position = self._find(field)
        return self._table_at(position, name) if position else None

    def tables(self, field: str, name: str) -> "list[FlatbufferTable]":
        """Returns the tables in a field, which is empty by default. The arguments are the same."""
        start, count = self._vector(field, 4)
        if count > _MAX_TABLES:
            raise FlatbufferError(f"a list in it has {count:,} tables, more than {_MAX_TABLES:,}")
        return [self._table_at(start + 4 * number, name) for number in range(count)]

    def _table_at(self, reference: int, name: str) -> "FlatbufferTable":
        position = reference + _unpack("<I", self._content, reference)
        return FlatbufferTable(self._content, position, name=name, fields=self._fields)

    def _find(self, field: str) -> int:
        """Returns the position of a field, or 0 if it is missing."""
        vtable = self._position - _unpack("<i", self._content, self._position)
        entry = _VTABLE_HEADER + 2 * self._names.index(field)
        if entry + 2 > _unpack("<H", self._content, vtable):
            return 0
        distance = _unpack("<H", self._content, vtable + entry)
        return self._position + distance if distance else 0

    def _vector(self, field: str, item_size: int) -> tuple[int, int]:
        """Returns the position of the first item of a vector, and the number of its items."""
        position = self._find(field)
        if not position:
            return 0, 0
        vector = position + _unpack("<I", self._content, position)
        start, count = vector + 4, _unpack("<I", self._content, vector)
        if start + count * item_size > len(self._content):
            raise FlatbufferError("a list in it is longer than the file")
        return start, count


def _unpack(kind: str, content: bytes, position: int) -> int:
    if position < 0:
        raise FlatbufferError("it refers to data before its beginning")
    try:
        (value,) = struct.unpack_from(kind, content, position)
    except struct.error as error:
        raise FlatbufferError("it refers to data after its end") from error
    return int(value)

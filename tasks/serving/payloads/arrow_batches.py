"""The columns of Arrow's record batches: what a schema says of each, and what its buffers hold."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from tasks.serving.arrays import RequestError
from tasks.serving.payloads.flatbuffers import Malformed, Table, number
from tasks.serving.payloads.tensors import FORMATS, HALF, elements, size, widened

if TYPE_CHECKING:
    from collections.abc import Iterator

Part: TypeAlias = "bytes | list[Any]"
"""A column in a batch: the bytes of its numbers if none is missing, else its cells."""

_NODE = 16  # bytes, of which the first half is the length, the other the number of nulls
_NULL, _INT, _FLOAT, _UTF8, _BOOL, _LARGE_UTF8 = 1, 2, 3, 5, 6, 20
_FLOATS = {0: HALF, 1: "float32", 2: "float64"}
_OFFSETS = {_UTF8: "int32", _LARGE_UTF8: "int64"}
_OTHER = {
    4: "binary", 7: "decimal", 8: "date", 9: "time", 10: "timestamp", 12: "list",
    13: "struct", 15: "fixed_size_binary", 16: "fixed_size_list", 18: "duration",
    19: "large_binary", 21: "large_list", 23: "binary_view", 24: "utf8_view",
}  # fmt: skip
_BITS = [[bool(byte >> bit & 1) for bit in range(8)] for byte in range(256)]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers of a type, or of texts, which offsets of a type tell apart, or of nulls.

    With a dictionary, its numbers are places in that.
    """

    name: str
    dtype: str
    offsets: str = ""
    dictionary: int | None = None

    def cells(self, part: Part) -> list[Any]:
        """Return a part of the column as cells."""
        if isinstance(part, bytes):
            return elements(part, self.read_as).tolist()
        return part

    @property
    def of_nulls(self) -> bool:
        """Whether the column can hold nothing else."""
        return not self.dtype and not self.offsets

    @property
    def read_as(self) -> str:
        """The type of the numbers once they are read."""
        return "float32" if self.dtype == HALF else self.dtype


def described(field: Table) -> tuple[Column, Column | None]:
    """Return a column of a schema, and what its dictionary holds if it has one."""
    name = field.text(0)
    column = _typed(name, field.integer(2, "B"), field.table(3))
    encoding = field.table(4)
    if encoding is None:
        return column, None
    if column.of_nulls:
        raise RequestError(f"Column `{name}` has a dictionary of nothing but nulls")
    index = encoding.table(1)
    dtype = _typed(name, _INT, index).dtype if index else "int32"
    return Column(name, dtype, dictionary=encoding.integer(0, "q")), column


def _typed(name: str, kind: int, given: Table | None) -> Column:
    """Return a column of a type as a schema has it."""
    if kind in _OFFSETS or kind == _NULL:
        return Column(name, "", _OFFSETS.get(kind, ""))
    dtype = "bool" if kind == _BOOL else ""
    if kind == _INT and given:
        dtype = f"{'' if given.integer(1, 'B') else 'u'}int{given.integer(0, 'i')}"
    if kind == _FLOAT and given:
        dtype = _FLOATS.get(given.integer(0, "h"), "")
    if dtype == HALF or dtype in FORMATS:
        return Column(name, dtype)
    raise RequestError(
        f"Column `{name}` is of Arrow's type {_OTHER.get(kind, kind)}; only numbers, booleans and"
        " texts (utf8) can be read"
    )


def parts(columns: list[Column], batch: Table, content: memoryview) -> tuple[int, list[Part]]:
    """Return how many rows a batch has, and its columns."""
    if batch.table(3):
        raise RequestError("The Arrow stream is compressed; send it without compression")
    count = batch.integer(0, "q")
    at, nodes = batch.vector(1, _NODE)
    if count < 0 or nodes != len(columns):
        raise Malformed(f"{nodes} columns where the schema has {len(columns)}")
    buffers = _buffers(batch, content)
    found: list[Part] = []
    for index, column in enumerate(columns):
        node = at + _NODE * index
        if number(batch.data, node, "q") != count:
            raise Malformed("columns of different lengths")
        if column.of_nulls:
            found.append([None] * count)
            continue
        validity = next(buffers)
        part: Part = (_texts if column.offsets else _numbers)(buffers, column, count)
        if number(batch.data, node + _NODE // 2, "q"):
            present = zip(column.cells(part), _bits(validity, count), strict=True)
            part = [cell if there else None for cell, there in present]
        found.append(part)
    return count, found


def _buffers(batch: Table, content: memoryview) -> Iterator[memoryview]:
    """Return the parts of what is behind a batch, which together are no longer than that."""
    at, length = batch.vector(2, 16)
    left = len(content)
    for place in range(at, at + 16 * length, 16):
        begin, long = number(batch.data, place, "q"), number(batch.data, place + 8, "q")
        left -= long
        if begin < 0 or long < 0 or left < 0 or begin + long > len(content):
            raise Malformed("a column that is not within its batch")
        yield content[begin : begin + long]
    raise Malformed("too few columns in a batch")


def _numbers(buffers: Iterator[memoryview], column: Column, count: int) -> bytes:
    """Return the bytes of a column of numbers, a byte for each boolean."""
    buffer = next(buffers)
    if column.dtype == "bool":
        return bytes(_bits(buffer, count))
    numbers = buffer[: count * size(column.dtype)].tobytes()
    if len(numbers) != count * size(column.dtype):
        raise Malformed(f"column `{column.name}` is cut off")
    return widened(numbers) if column.dtype == HALF else numbers


def _texts(buffers: Iterator[memoryview], column: Column, count: int) -> list[str]:
    """Return the cells of a column of texts."""
    places, letters = next(buffers), next(buffers)
    if not count:
        return []
    long = (count + 1) * size(column.offsets)
    if len(places) < long:
        raise Malformed(f"column `{column.name}` is cut off")
    offsets = elements(places[:long], column.offsets).tolist()
    if offsets[0] < 0 or offsets != sorted(offsets) or offsets[-1] > len(letters):
        raise Malformed(f"column `{column.name}` has texts that are not within it")
    try:
        return [str(letters[begin:end], "utf-8") for begin, end in itertools.pairwise(offsets)]
    except UnicodeDecodeError:
        raise Malformed(f"column `{column.name}` has a text that is not in UTF-8") from None


def _bits(buffer: memoryview, count: int) -> list[bool]:
    """Return as many bits; the first of a byte is its lowest."""
    if len(buffer) * 8 < count:
        raise Malformed("a column of bits is cut off")
    used = buffer[: (count + 7) // 8]
    return list(itertools.chain.from_iterable(map(_BITS.__getitem__, used)))[:count]

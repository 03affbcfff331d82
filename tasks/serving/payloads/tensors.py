"""Values as JSON text, as Python lists, as the bytes of tensors: one becomes another here."""

from __future__ import annotations

import array
import itertools
import math
import re
import struct
from types import NoneType
from typing import TYPE_CHECKING, Any

import msgspec

from tasks.serving.arrays import PART, WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.serving.arrays import Array

FORMATS: dict[str, Any] = {
    "bool": "?",
    "int8": "b", "int16": "h", "int32": "i", "int64": "q",
    "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q",
    "float32": "f", "float64": "d",
}  # fmt: skip
"""The letter of `struct`, `memoryview` and `array` for a type; booleans `array` does not know."""

DTYPES = {letter: dtype for dtype, letter in FORMATS.items()}

HALF = "float16"
"""A type that none of the three can hold: it is made `float32`."""

# What a Python model answers may hold a half of a character that needs two in UTF-16.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>u[dD][89a-fA-F]..)|.)", re.DOTALL
)
_TABLE = 2  # dimensions: rows of columns
_INT64 = range(-(2**63), 2**63)

decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode
"""NaN and the infinities, which JSON lacks, become null."""


def size(dtype: str) -> int:
    """Return the bytes of an element."""
    return 2 if dtype == HALF else struct.calcsize(FORMATS[dtype])


def widened(halves: bytes | memoryview) -> bytes:
    """Return a `float16` tensor's bytes as those of a `float32` tensor."""
    found = array.array("f")
    for at in range(0, len(halves), PART):  # others go on meanwhile
        part = halves[at : at + PART]
        found.extend(struct.unpack(f"<{len(part) // 2}e", part))
    return found.tobytes()


def elements(data: bytes | memoryview, dtype: str, shape: tuple[int, ...] = ()) -> memoryview[Any]:
    """Return the elements of a tensor's bytes, without a shape in one row."""
    if dtype == HALF:
        data, dtype = widened(data), "float32"
    letter = FORMATS[dtype]
    return memoryview(data).cast(letter, shape) if shape else memoryview(data).cast(letter)


def values(given: Array) -> Any:  # noqa: ANN401 - JSON is any value
    """Return the values as Python has them: lists in lists."""
    if not given.dtype:
        try:
            return decode(given.data)
        except msgspec.DecodeError:
            return decode(_ESCAPE.sub(_whole, given.data))
    return elements(given.data, given.dtype, given.shape).tolist()


def _whole(escape: re.Match[bytes]) -> bytes:
    """Return an escape as it is, unless it is a half of a character: for that stands U+FFFD."""
    return b"\\ufffd" if escape["half"] else escape[0]


def text(given: Array) -> bytes:
    """Return the values as JSON text."""
    return encode(values(given)) if given.dtype else given.json


def rows(answer: Array) -> list[list[Any]]:
    """Return an answer's rows, each a list of cells.

    Values in one row are a cell of a row each; unless each has a column's name, then they are one
    row.
    """
    found = values(answer)
    if not isinstance(found, list):
        found = [found]
    if found and all(type(row) is list for row in found):
        return found
    if len(answer.names) == len(found) > 1:
        return [found]
    return [[cell] for cell in found]


def columns(answer: Array) -> list[Sequence[Any]]:
    """Return an answer's columns: parts of the tensor where it is one; cells that lack are None."""
    if not answer.dtype or len(answer.shape) > _TABLE:
        return [list(column) for column in itertools.zip_longest(*rows(answer))]
    width = answer.shape[1] if len(answer.shape) == _TABLE else 1
    if answer.shape == (len(answer.names),):  # the one row
        width = len(answer.names)
    flat = elements(answer.data, answer.dtype)
    return [flat[number::width] for number in range(width)]


def interleaved(parts: Sequence[bytes | memoryview], dtype: str) -> bytes:
    """Return the bytes of rows from those of columns, all of one type and length."""
    word = WORDS[size(dtype)]
    together = bytearray(len(parts[0]) * len(parts))
    cells = memoryview(together).cast(word)
    for number, part in enumerate(parts):
        cells[number :: len(parts)] = memoryview(part).cast(word)
    return bytes(together)


def flattened(nested: list[Any]) -> tuple[tuple[int, ...], list[Any]]:
    """Return the shape of lists in lists, and the cells in one row; what is ragged stays a cell."""
    shape = [len(nested)]
    flat = nested
    while flat and type(flat[0]) is list:
        if not all(type(one) is list and len(one) == len(flat[0]) for one in flat):
            break
        shape.append(len(flat[0]))
        flat = list(itertools.chain.from_iterable(flat))
    return tuple(shape), flat


def nested(flat: Sequence[Any], shape: Sequence[int]) -> Sequence[Any]:
    """Return cells in lists in lists, as their shape says."""
    for width in reversed(shape[1:]):
        flat = [flat[at : at + width] for at in range(0, len(flat), width)]
    return flat


def dtype_of(found: Sequence[Any]) -> str:
    """Return the type of tensor that can hold these cells, missing ones apart; empty: texts."""
    kinds = set(map(type, found)) - {NoneType}
    if kinds == {bool}:
        return "bool"
    if not kinds or not kinds <= {int, float}:
        return ""
    present = [cell for cell in found if cell is not None]
    if kinds == {int} and min(present) in _INT64 and max(present) in _INT64:
        return "int64"
    try:
        array.array("d", present)
    except OverflowError:
        return ""
    return "float64"


def packed(found: Sequence[Any], dtype: str) -> memoryview[Any]:
    """Return cells as a tensor's elements; a missing one is NaN, which only floats have.

    Raises TypeError and OverflowError for cells that the type cannot hold.
    """
    if dtype == "bool":
        return memoryview(bytes(found)).cast("?")
    if dtype.startswith("float") and None in found:
        found = [math.nan if cell is None else cell for cell in found]
    held = array.array(FORMATS[dtype], found)
    if dtype == "float32" and any(map(math.isinf, held)):  # which no error tells
        raise OverflowError
    return memoryview(held)


def as_text(cell: object) -> str:
    """Return a cell as a text: itself if it is one, nothing if it is missing, else its JSON."""
    if isinstance(cell, str):
        return cell
    written = encode(cell).decode()
    return "" if written == "null" else written

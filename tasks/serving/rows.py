"""An array's values as rows, whichever form they travel in."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

import msgspec

from tasks.serving.arrays import holds_rows, in_parts
from tasks.serving.payloads.tensors import FORMATS, HALF

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.serving.arrays import Array

CELLS = 1000
"""How many values there are in a piece, about: some 1 ms of work."""

_CODES = {**FORMATS, HALF: "e"}


def pieces(array: Array, columns: int, rows: int = 0) -> Iterator[list[Sequence[Any]]]:
    """Yield the rows of an array, some at a time.

    What is flat is one row, or a value for each of so many rows: where there is to be one column;
    where nothing is known of the `columns` (0), if there are as many values as there are `rows`.
    Raises ValueError where the bytes are not what they are said to be.
    """
    if array.dtype:
        yield from _of_tensor(array, columns, rows)
        return
    if holds_rows(array.json):
        for _, part in in_parts(array.json):
            yield from _in_steps(msgspec.json.decode(part))
        return
    values = msgspec.json.decode(array.data)
    values = values if isinstance(values, list) else [values]
    alone = columns == 1 or (not columns and len(values) == rows)
    if values:
        yield from _in_steps([[value] for value in values] if alone else [values])


def _in_steps(values: list[Any]) -> Iterator[list[Sequence[Any]]]:
    """Yield rows, some at a time."""
    step = max(1, CELLS // max(1, len(_flat(values[0]))))
    for start in range(0, len(values), step):
        yield [_flat(row) for row in values[start : start + step]]


def _flat(row: object) -> list[object]:
    """Return a row without further rows inside it."""
    if not isinstance(row, list):
        return [row]
    if not any(isinstance(item, list) for item in row):
        return row
    return [inner for item in row for inner in _flat(item)]


def _of_tensor(array: Array, columns: int, rows: int) -> Iterator[list[Sequence[Any]]]:
    """Yield the rows of a tensor, what is inside the first dimension one behind the other."""
    if array.dtype not in _CODES:
        raise ValueError(f"unknown dtype {array.dtype}")
    code, shape = _CODES[array.dtype], array.shape or (1,)
    if len(shape) == 1:
        alone = columns == 1 or (not columns and shape[0] == rows)
        shape = (shape[0], 1) if alone else (1, shape[0])
    width = math.prod(shape[1:])
    row = struct.Struct(f"<{width}{code}")
    if row.size * shape[0] != len(array.data):
        raise ValueError(f"{len(array.data)} bytes for the shape {array.shape}")
    step = max(1, CELLS // max(1, width))
    for start in range(0, shape[0] if width else 0, step):
        end = min(start + step, shape[0])
        yield list(row.iter_unpack(array.data[start * row.size : end * row.size]))

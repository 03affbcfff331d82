"""Arrow IPC streams from clients, read in Python alone: what reads them in C crashes on bad ones.

Columns are numbers, booleans, texts, or any of these by way of a dictionary.  Compressed streams
are refused, because a small one may hold any amount.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tasks.serving.arrays import Array, RequestError
from tasks.serving.payloads import NOTHING, Wanted
from tasks.serving.payloads.arrow_batches import Column, Part, described, parts
from tasks.serving.payloads.flatbuffers import Malformed, Table, follow, number
from tasks.serving.payloads.tensors import encode, interleaved

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MOST_CELLS = 1 << 24
"""Cells of a stream: columns of nulls take no place in it, and booleans a bit."""
MOST_TEXT = 1 << 26
"""Letters that come from dictionaries, where a byte may stand for any number of them."""

_FILE = b"ARROW1"
_CONTINUED = -1  # a message begins so
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3


@dataclass(slots=True)
class _Stream:
    """What is known of a stream so far; a dictionary has a number."""

    columns: list[Column] = field(default_factory=list)
    batches: list[list[Part]] = field(default_factory=list)
    count: int = 0
    cells: int = 0
    values: dict[int, Column] = field(default_factory=dict)
    dictionaries: dict[int, list[Any]] = field(default_factory=dict)


def read(
    body: bytes, _headers: Mapping[str, str], _columns: Sequence[object] = ()
) -> tuple[Array, Wanted]:
    """Return the values of a request: a tensor if all are numbers of one type, else rows."""
    if body.startswith(_FILE):
        raise RequestError("The body is an Arrow file; send it as an Arrow stream")
    stream = _Stream()
    try:
        for kind, header, content in _messages(body):
            _take(stream, kind, header, content)
    except Malformed as error:
        raise RequestError(f"The body is no Arrow stream: {error}") from None
    if not stream.count or not stream.columns:
        raise RequestError("The Arrow stream has no row")
    return _array(stream), NOTHING


def _messages(body: bytes) -> Iterator[tuple[int, Table, memoryview]]:
    """Return each message's kind, its header, and the bytes behind it."""
    at = 0
    while at < len(body):
        if number(body, at, "i") != _CONTINUED:
            raise Malformed("no message where one should begin")
        length = number(body, at + 4, "i")
        if not length:
            return
        begin = at + 8 + length
        message = follow(body[at + 8 : begin], 0)
        header = message.table(2)
        long = message.integer(3, "q")
        if header is None or length < 0 or not 0 <= long <= len(body) - begin:
            raise Malformed("it is cut off")
        yield message.integer(1, "B"), header, memoryview(body)[begin : begin + long]
        at = begin + long


def _take(stream: _Stream, kind: int, header: Table, content: memoryview) -> None:
    """Learn what a message says."""
    if kind == _SCHEMA:
        _read_schema(stream, header)
    elif kind == _DICTIONARY:
        _read_dictionary(stream, header, content)
    elif kind == _BATCH:
        _read_batch(stream, header, content)
    else:
        raise Malformed(f"a message of kind {kind}")


def _read_schema(stream: _Stream, schema: Table) -> None:
    """Learn what the columns are."""
    if stream.columns:
        raise Malformed("a second schema")
    if schema.integer(0, "h"):
        raise RequestError("The Arrow stream is big-endian; send it little-endian")
    letters = 0
    for one in schema.tables(1):
        letters += one.vector(0, 1)[1]
        if letters > len(schema.data):
            raise Malformed("names that overlap")
        column, values = described(one)
        stream.columns.append(column)
        if values and column.dictionary is not None:
            stream.values[column.dictionary] = values


def _read_dictionary(stream: _Stream, header: Table, content: memoryview) -> None:
    """Take a dictionary in place of the one before, or add to that."""
    place, batch = header.integer(0, "q"), header.table(1)
    if place not in stream.values or batch is None:
        raise Malformed("a dictionary for no column")
    column = stream.values[place]
    _count(stream, batch.integer(0, "q"))
    _, (part,) = parts([column], batch, content)
    more = header.integer(2, "B")
    known = stream.dictionaries.setdefault(place, []) if more else []
    known += column.cells(part)
    stream.dictionaries[place] = known


def _read_batch(stream: _Stream, batch: Table, content: memoryview) -> None:
    """Add rows."""
    _count(stream, batch.integer(0, "q") * len(stream.columns))
    count, found = parts(stream.columns, batch, content)
    stream.count += count
    stream.batches.append(
        [
            part if column.dictionary is None else _looked_up(stream, column, part)
            for column, part in zip(stream.columns, found, strict=True)
        ]
    )


def _count(stream: _Stream, cells: int) -> None:
    """Count cells that are to be read."""
    stream.cells += cells
    if stream.cells > MOST_CELLS:
        raise _too_much(f"more than {MOST_CELLS:,} cells")


def _looked_up(stream: _Stream, column: Column, part: Part) -> list[Any]:
    """Return the cells of a column from their places in its dictionary."""
    values = stream.dictionaries.get(column.dictionary or 0, [])
    places = column.cells(part)
    if any(place is not None and not 0 <= place < len(values) for place in places):
        raise Malformed(f"column `{column.name}` has a place that is not in its dictionary")
    return [None if place is None else values[place] for place in places]


def _array(stream: _Stream) -> Array:
    """Return what was read: a tensor, or rows as JSON."""
    names = tuple(column.name for column in stream.columns)
    dtypes = {column.read_as for column in stream.columns}
    whole = [[part for part in batch if isinstance(part, bytes)] for batch in stream.batches]
    if len(dtypes) == 1 and all(len(batch) == len(names) for batch in whole):
        dtype = dtypes.pop()
        data = interleaved([b"".join(column) for column in zip(*whole, strict=True)], dtype)
        return Array(data, names, dtype, (stream.count, len(names)))
    columns = [
        list(itertools.chain.from_iterable(map(column.cells, batches)))
        for column, batches in zip(stream.columns, zip(*stream.batches, strict=True), strict=True)
    ]
    letters = sum(
        len(cell)
        for column, cells in zip(stream.columns, columns, strict=True)
        if column.dictionary is not None
        for cell in cells
        if isinstance(cell, str)
    )
    if letters > MOST_TEXT:
        raise _too_much(f"more than {MOST_TEXT:,} letters by way of dictionaries")
    return Array(encode(list(zip(*columns, strict=True))), names)


def _too_much(what: str) -> RequestError:
    """Return the error for a stream that would come to too much."""
    return RequestError(f"The Arrow stream has {what}", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

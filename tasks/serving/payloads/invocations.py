"""The JSON forms of MLflow's scoring server, answered as `{"predictions": ...}`.

As there, a request has exactly one of four keys.  Others do not matter, `params` among them: no
model here has any.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec

from tasks.serving.arrays import Array, RequestError
from tasks.serving.payloads import NOTHING, About, Wanted
from tasks.serving.payloads.parsing import JSON, decoded
from tasks.serving.payloads.tensors import encode, rows, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.serving.schema import Column

_KEYS = "`dataframe_split`, `dataframe_records`, `instances` and `inputs`"
_FORM = f"a JSON object with one of {_KEYS}"
_MOST_EMPTY = 16
"""Cells for each value that was sent: records that share no key would make far more of them."""


class _Body(msgspec.Struct, gc=False):
    dataframe_split: msgspec.Raw = msgspec.Raw()
    dataframe_records: msgspec.Raw = msgspec.Raw()
    instances: msgspec.Raw = msgspec.Raw()
    inputs: msgspec.Raw = msgspec.Raw()


class _Split(msgspec.Struct, gc=False):
    data: msgspec.Raw
    columns: tuple[str | int | float, ...] = ()


_BODY = msgspec.json.Decoder(_Body)
_SPLIT = msgspec.json.Decoder(_Split)
_RECORDS = msgspec.json.Decoder(list[dict[str, Any]])
_COLUMNS = msgspec.json.Decoder(dict[str, list[Any]])


def read(
    body: bytes, _headers: Mapping[str, str], _columns: Sequence[Column] = ()
) -> tuple[Array, Wanted]:
    """Return the values of a request."""
    parsed = decoded(_BODY, body, _FORM)
    given = {name: bytes(getattr(parsed, name)) for name in _READERS}
    given = {name: raw for name, raw in given.items() if raw}
    if len(given) != 1:
        had = " and ".join(f"`{name}`" for name in given) or "none"
        raise RequestError(f"The body must have one of {_KEYS}; it has {had}")
    ((name, raw),) = given.items()
    return _READERS[name](raw, name), NOTHING


def _split(raw: bytes, name: str) -> Array:
    """Return the values of a data frame as pandas' `split` has it."""
    frame = decoded(_SPLIT, raw, f'`"{name}": {{"columns": [...], "data": [...]}}`')
    data = bytes(frame.data)
    if data[:1] != b"[":
        raise RequestError(f"`{name}.data` must be a list of rows")
    return Array(data, tuple(map(str, frame.columns)))


def _records(raw: bytes, name: str) -> Array:
    """Return the values of objects, one a row; keys that one lacks are missing there."""
    records = decoded(_RECORDS, raw, f'`"{name}": [{{"column": value, ...}}, ...]`')
    names = tuple(dict.fromkeys(itertools.chain.from_iterable(records)))
    if len(names) * len(records) > _MOST_EMPTY * sum(map(len, records)):
        raise RequestError(f"The objects in `{name}` have too few of their columns in common")
    return Array(encode([[one.get(key) for key in names] for one in records]), names)


def _tensor(raw: bytes, name: str) -> Array:
    """Return the values of a list, of objects in a list, or of columns in an object."""
    if raw[:1] == b"{":
        columns = decoded(_COLUMNS, raw, f'`"{name}": {{"column": [...], ...}}`')
        if len(set(map(len, columns.values()))) != 1:
            raise RequestError(f"The columns in `{name}` are not all of one length")
        return Array(encode(list(zip(*columns.values(), strict=True))), tuple(columns))
    if raw[:1] != b"[":
        raise RequestError(f"`{name}` must be a list, or an object of columns")
    return _records(raw, name) if raw[1:].lstrip()[:1] == b"{" else Array(raw)


_READERS = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _tensor,
    "inputs": _tensor,
}


def write(answer: Array, _about: About, _wanted: Wanted) -> tuple[bytes, dict[str, str]]:
    """Return an answer: rows whose columns have names as objects, as a data frame is there."""
    predictions = text(answer)
    if answer.names:
        found = rows(answer)
        if all(len(row) == len(answer.names) > 1 for row in found):
            predictions = encode([dict(zip(answer.names, row, strict=True)) for row in found])
    return b'{"predictions":%b}' % predictions, {"content-type": JSON}

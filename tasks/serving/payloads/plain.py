"""The form of our own: `{"data": {"names": [...], "ndarray": [...]}}`, and the same as an answer.

The values are not parsed here, only found: what follows reads them once.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import msgspec

from tasks.serving.arrays import Array, RequestError
from tasks.serving.payloads import NOTHING, About, Wanted
from tasks.serving.payloads.parsing import JSON, decoded
from tasks.serving.payloads.tensors import encode, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.serving.schema import Column

FORM = '`{"data": {"names": [...], "ndarray": [...]}}`'


class _Data(msgspec.Struct, gc=False):
    ndarray: msgspec.Raw
    names: tuple[str, ...] | None = None


class _Body(msgspec.Struct, gc=False):
    data: _Data


_DECODER = msgspec.json.Decoder(_Body)


def read(
    body: bytes, _headers: Mapping[str, str], _columns: Sequence[Column] = ()
) -> tuple[Array, Wanted]:
    """Return the values of a request; keys that are not known are passed over."""
    data = decoded(_DECODER, body, FORM).data
    values = bytes(data.ndarray)
    if values[:1] != b"[":
        raise RequestError("`data.ndarray` must be a list: a row, or a list of rows")
    return Array(values, data.names or ()), NOTHING


def write(answer: Array, about: About, _wanted: Wanted) -> tuple[bytes, dict[str, str]]:
    """Return an answer with what is known of the model."""
    body = b'{"data":{"names":%b,"ndarray":%b},"meta":%b}'
    return body % (_names(answer.names), text(answer), about.meta), {"content-type": JSON}


@functools.lru_cache
def _names(names: tuple[str, ...]) -> bytes:
    """Return the names as JSON text; a model's answers all have the same."""
    return encode(names)

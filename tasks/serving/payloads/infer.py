"""Requests of the Open Inference Protocol (v2), their tensors as JSON or as bytes.

One tensor is the values as they are, a row or rows, whatever its name.  Of several tensors each is
a column that its name names, of shape `[n]` or `[n, 1]`.  Bytes follow the JSON, whose length the
header `Inference-Header-Content-Length` tells, in the order of the tensors.
"""

from __future__ import annotations

import functools
import math
import re
import struct
from dataclasses import dataclass
from http import HTTPStatus
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from tasks.serving.arrays import Array, RequestError
from tasks.serving.payloads import Wanted
from tasks.serving.payloads.parsing import decoded
from tasks.serving.payloads.tensors import (
    HALF,
    elements,
    encode,
    flattened,
    interleaved,
    nested,
    packed,
    size,
    widened,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.serving.schema import Column

LENGTH = "inference-header-content-length"
DATATYPES = {
    "BOOL": "bool",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "FP16": HALF, "FP32": "float32", "FP64": "float64",
    "BYTES": "",
}  # fmt: skip
"""What the protocol calls each type of tensors; no type: texts."""

LIGHT = 1 << 14
"""Bytes of JSON that are read in no time."""

_TAKEN = DATATYPES.keys() - {"BOOL", "FP16", "BYTES"}

MOST_TEXTS = 1 << 22
"""Texts of a tensor: an empty one takes four bytes of a request, and far more of memory."""

_FORM = "an inference request of the Open Inference Protocol"
_LENGTH_OF_TEXT = struct.Struct("<I")
_DIGITS = re.compile("[0-9]{1,18}")

_Dimension = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Shape = Annotated[list[_Dimension], msgspec.Meta(min_length=1, max_length=8)]


class _Input(msgspec.Struct, gc=False):
    name: str
    shape: _Shape
    datatype: str
    parameters: dict[str, Any] | None = None
    data: msgspec.Raw = msgspec.Raw()


class _Output(msgspec.Struct, gc=False):
    name: str
    parameters: dict[str, Any] | None = None


class _Request(msgspec.Struct, gc=False):
    inputs: list[_Input]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[_Output] | None = None


_DECODER = msgspec.json.Decoder(_Request)
_LIST = msgspec.json.Decoder(list[Any])


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor: the bytes of its elements, or its texts where it has no dtype."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes | memoryview
    texts: Sequence[str | None] = ()


def read(
    body: bytes | memoryview, headers: Mapping[str, str], _columns: Sequence[Column] = ()
) -> tuple[Array, Wanted]:
    """Return the values of a request, and which tensors it wants how."""
    length = _length(body, headers)
    request = _request(body, length)
    tensors = _tensors(request.inputs, body, length)
    binary = (request.parameters or {}).get("binary_data_output") is True
    outputs = tuple(
        (one.name, (one.parameters or {}).get("binary_data", binary) is True)
        for one in request.outputs or ()
    )
    values = _alone(tensors[0]) if len(tensors) == 1 else _together(tensors)
    return values, Wanted(request.id or "", outputs, binary)


def is_light(body: bytes | memoryview, headers: Mapping[str, str]) -> bool:
    """Return whether a request is read in no time, however many bytes it has.

    It is where they are those of one tensor whose elements are taken as they are.
    """
    length = _length(body, headers)
    if not length < len(body) or length > LIGHT:
        return False
    inputs = _request(body, length).inputs
    return len(inputs) == 1 and inputs[0].datatype in _TAKEN


def _request(body: bytes | memoryview, length: int) -> _Request:
    """Return what the JSON of a request says, of which the body has so many bytes."""
    head = bytes(body[:length])
    return _decoded_lately(head) if length < len(body) and length <= LIGHT else _decoded(head)


def _decoded(head: bytes) -> _Request:
    return decoded(_DECODER, head, _FORM)


_decoded_lately = functools.lru_cache(maxsize=64)(_decoded)  # what precedes bytes is much alike


def told_length(said: str) -> int | None:
    """Return how many bytes a header says that JSON has, None where that is no number."""
    return int(said) if _DIGITS.fullmatch(said) else None


def _length(body: bytes | memoryview, headers: Mapping[str, str]) -> int:
    """Return how many bytes of the body are JSON."""
    said = headers.get(LENGTH)
    if said is None:
        return len(body)
    length = told_length(said)
    if length is None or length > len(body):
        raise RequestError(
            f"`Inference-Header-Content-Length` is `{said[:40]}`, no number of bytes up to the"
            f" body's {len(body)}"
        )
    return length


def _tensors(inputs: list[_Input], body: bytes | memoryview, at: int) -> list[_Tensor]:
    """Return the tensors; the bytes of the first begin at this place of the body."""
    tensors = []
    for one in inputs:
        if one.datatype not in DATATYPES:
            raise RequestError(
                f"Input `{one.name}` has the datatype `{one.datatype}`, not one of"
                f" {', '.join(DATATYPES)}"
            )
        long = (one.parameters or {}).get("binary_data_size")
        if long is None:
            tensors.append(_from_json(one))
            continue
        if type(long) is not int or not 0 <= long <= len(body) - at:
            left = f"the {len(body) - at} bytes that are left of the body"
            raise RequestError(f"`binary_data_size` of input `{one.name}` must be up to {left}")
        tensors.append(_from_bytes(one, memoryview(body)[at : at + long]))
        at += long
    if not tensors:
        raise RequestError("`inputs` is empty")
    if at != len(body):
        raise RequestError(f"The body has {len(body) - at} bytes that belong to no input")
    return tensors


def _from_bytes(one: _Input, data: memoryview) -> _Tensor:
    """Return a tensor from its bytes."""
    shape = tuple(one.shape)
    dtype = DATATYPES[one.datatype]
    if not dtype:
        return _Tensor(one.name, "", shape, b"", _texts(one, bytes(data)))
    expected = math.prod(shape) * size(dtype)
    if len(data) != expected:
        raise RequestError(
            f"Input `{one.name}` has {len(data)} bytes; {one.datatype} of shape"
            f" {one.shape} has {expected}"
        )
    if dtype == HALF:
        return _Tensor(one.name, "float32", shape, widened(data))
    if dtype == "bool" and bytes(data).translate(None, b"\0\1"):
        raise RequestError(f"Input `{one.name}` has bytes that are neither 0 nor 1")
    return _Tensor(one.name, dtype, shape, data)


def _texts(one: _Input, data: bytes) -> list[str]:
    """Return the texts of a tensor's bytes: before each its length, in four bytes."""
    count = math.prod(one.shape)
    wrong = RequestError(f"The bytes of input `{one.name}` are not those of {count} texts")
    if count * _LENGTH_OF_TEXT.size > len(data):
        raise wrong
    if count > MOST_TEXTS:
        told = f"Input `{one.name}` has more than {MOST_TEXTS:,} texts"
        raise RequestError(told, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    texts = []
    at = 0
    try:
        for _ in range(count):
            (long,) = _LENGTH_OF_TEXT.unpack_from(data, at)
            texts.append(data[at + 4 : at + 4 + long].decode())
            at += 4 + long
    except struct.error:
        raise wrong from None
    except UnicodeDecodeError as error:
        raise RequestError(f"Input `{one.name}` has a text that is not in UTF-8: {error}") from None
    if at != len(data):
        raise wrong
    return texts


def _from_json(one: _Input) -> _Tensor:
    """Return a tensor from its `data`, which may be nested as its shape is, or not at all."""
    form = f"a list in `data` of input `{one.name}`"
    shape, cells = flattened(decoded(_LIST, bytes(one.data) or b"null", form))
    if len(cells) != math.prod(one.shape) or (len(shape) > 1 and list(shape) != one.shape):
        raise RequestError(
            f"`data` of input `{one.name}` has the shape {list(shape)}, not {one.shape}"
        )
    dtype = DATATYPES[one.datatype].replace(HALF, "float32")
    wrong = RequestError(f"`data` of input `{one.name}` has values that are no {one.datatype}")
    if set(map(type, cells)) - _kinds(dtype):
        raise wrong
    try:
        data = packed(cells, dtype).tobytes() if dtype else b""
    except OverflowError:
        raise wrong from None
    return _Tensor(one.name, dtype, tuple(one.shape), data, () if dtype else cells)


def _kinds(dtype: str) -> set[type]:
    """Return the types that the values of a tensor may have in JSON; null is NaN, or no text."""
    if dtype.startswith("float"):
        return {int, float, NoneType}
    if dtype == "bool":
        return {bool}
    return {int} if dtype else {str, NoneType}


def _alone(tensor: _Tensor) -> Array:
    """Return the values of a request with one tensor."""
    if tensor.dtype:
        return Array(tensor.data, (), tensor.dtype, tensor.shape)
    return Array(encode(nested(tensor.texts, tensor.shape)))


def _together(tensors: list[_Tensor]) -> Array:
    """Return the rows whose columns are tensors: as one tensor if all are of one type."""
    names = tuple(tensor.name for tensor in tensors)
    if len(set(names)) != len(names):
        raise RequestError("Two inputs have the same name")
    count = tensors[0].shape[0]
    for tensor in tensors:
        if tensor.shape not in {(count,), (count, 1)}:
            raise RequestError(
                f"Input `{tensor.name}` has the shape {list(tensor.shape)}; where there are several"
                f" inputs each is a column: [{count}] or [{count}, 1]"
            )
    dtypes = {tensor.dtype for tensor in tensors}
    if len(dtypes) == 1 and (dtype := tensors[0].dtype):
        data = interleaved([tensor.data for tensor in tensors], dtype)
        return Array(data, names, dtype, (count, len(names)))
    columns = [
        elements(one.data, one.dtype).tolist() if one.dtype else one.texts for one in tensors
    ]
    return Array(encode(list(zip(*columns, strict=True))), names)

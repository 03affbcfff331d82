"""Answers of the Open Inference Protocol (v2), their tensors as JSON or as bytes.

Where the columns of an answer have names, each is a tensor of shape `[n, 1]`; else the whole is one
tensor, called `output`.  Each is of the type that clients are told beforehand, where it can hold
the answer: `number` is FP64, `integer` INT64, `boolean` BOOL, all else BYTES.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.serving.arrays import RequestError
from tasks.serving.payloads.infer import DATATYPES, LENGTH
from tasks.serving.payloads.parsing import BYTES, JSON
from tasks.serving.payloads.tensors import (
    DTYPES,
    as_text,
    columns,
    dtype_of,
    elements,
    encode,
    flattened,
    packed,
    values,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasks.serving.arrays import Array
    from tasks.serving.payloads import About, Wanted
    from tasks.serving.schema import Column

OUTPUT = "output"
"""The name of a tensor whose columns have none."""

_DATATYPES = {dtype: datatype for datatype, dtype in DATATYPES.items()}
_TOLD = {"number": "float64", "integer": "int64", "boolean": "bool"}
_NUMBERS = {"float64", "int64"}


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor of an answer; its cells in one row are a memoryview, or a list of texts."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    cells: memoryview[Any] | list[str]


def told(columns: Iterable[Column]) -> str:
    """Return the type of a tensor of these columns, nothing for texts."""
    dtypes = {_TOLD.get(column.kind, "") for column in columns}
    return "float64" if dtypes == _NUMBERS else dtypes.pop() if len(dtypes) == 1 else ""


def datatype(columns: Iterable[Column]) -> str:
    """Return the same as the protocol calls it."""
    return _DATATYPES[told(columns)]


def write(answer: Array, about: About, wanted: Wanted) -> tuple[bytes, dict[str, str]]:
    """Return an answer with the tensors that the request wants, as it wants them.

    Raises RequestError where it wants one that the model does not give.
    """
    outputs = []
    parts = []
    for tensor, binary in _chosen(_tensors(answer, about.outputs), wanted):
        output: dict[str, Any] = {
            "name": tensor.name,
            "shape": tensor.shape,
            "datatype": _DATATYPES[tensor.dtype],
        }
        if binary:
            parts.append(_bytes(tensor))
            output["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            output["data"] = list(tensor.cells)
        outputs.append(output)
    head = {"model_name": about.model, "model_version": about.version, "id": wanted.id}
    told = {key: value for key, value in head.items() if value}
    text = encode({**told, "outputs": outputs})
    if not parts:
        return text, {"content-type": JSON}
    headers = {"content-type": BYTES, LENGTH: str(len(text))}
    return b"".join([text, *parts]), headers


def _chosen(tensors: list[_Tensor], wanted: Wanted) -> list[tuple[_Tensor, bool]]:
    """Return the tensors that a request wants, and of each whether as bytes."""
    if not wanted.outputs:
        return [(tensor, wanted.binary) for tensor in tensors]
    named = {tensor.name: tensor for tensor in tensors}
    for name, _ in wanted.outputs:
        if name not in named:
            known = ", ".join(f"`{one}`" for one in named)
            raise RequestError(f"The model has no output `{name}`; it has {known}")
    return [(named[name], binary) for name, binary in wanted.outputs]


def _tensors(answer: Array, outputs: Sequence[Column]) -> list[_Tensor]:
    """Return an answer as tensors: one, or one a column where the columns have names."""
    names = answer.names or tuple(column.name for column in outputs if column.name)
    if names:
        types = {column.name: told([column]) for column in outputs}
        found = columns(answer)
        if len(found) == len(names):
            named = zip(names, found, strict=True)
            return [_tensor(name, (len(one), 1), one, types.get(name)) for name, one in named]
    dtype = told(outputs) if outputs else None
    if answer.dtype:
        shape, flat = answer.shape or (1,), elements(answer.data, answer.dtype)
        return [_tensor(OUTPUT, shape if shape[1:] else (*shape, 1), flat, dtype)]
    found_values = values(answer)
    if not isinstance(found_values, list):
        found_values = [found_values]
    shape, cells = flattened(found_values)
    return [_tensor(OUTPUT, shape if shape[1:] else (*shape, 1), cells, dtype)]


def _tensor(name: str, shape: tuple[int, ...], found: Sequence[Any], dtype: str | None) -> _Tensor:
    """Return cells as a tensor of a type, or of the one that can hold them."""
    if dtype in _NUMBERS and not (isinstance(found, memoryview) and DTYPES[found.format] == dtype):
        with contextlib.suppress(TypeError, OverflowError):
            return _Tensor(name, dtype, shape, packed(list(found), dtype))
    if dtype == "":
        return _Tensor(name, "", shape, list(map(as_text, found)))
    if isinstance(found, memoryview):
        return _Tensor(name, DTYPES[found.format], shape, found)
    dtype = dtype_of(found)
    if None in found:  # which is NaN, or a text
        dtype = {"int64": "float64", "bool": ""}.get(dtype, dtype)
        dtype = dtype if any(cell is not None for cell in found) else "float64"
    if dtype:
        return _Tensor(name, dtype, shape, packed(found, dtype))
    return _Tensor(name, "", shape, list(map(as_text, found)))


def _bytes(tensor: _Tensor) -> bytes | memoryview:
    """Return the bytes of a tensor; before each text stands its length, in four bytes."""
    cells = tensor.cells
    if isinstance(cells, memoryview):
        return cells.cast("B") if cells.c_contiguous else cells.tobytes()
    texts = [text.encode() for text in cells]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)

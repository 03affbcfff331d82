"""The Open Inference Protocol (v2): what it is told of the server and its models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.serving.payloads.infer_answer import OUTPUT, datatype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.serving.pool import Pool
    from tasks.serving.schema import Column

PLATFORM = "modelmake"
EXTENSIONS = ("binary_tensor_data",)
INPUT = "input"

_ANY_LENGTH = -1


def server() -> dict[str, Any]:
    """Return what is said of the server."""
    return {"name": PLATFORM, "version": "2", "extensions": list(EXTENSIONS)}


def model(pool: Pool) -> dict[str, Any]:
    """Return what is said of a model: its versions, and the tensors that it takes and gives."""
    schema = pool.release.schema
    return {
        "name": pool.release.name,
        "versions": [pool.release.version],
        "platform": PLATFORM,
        "inputs": _tensors(schema.inputs, INPUT, apart=False),
        "outputs": _tensors(pool.about.outputs, OUTPUT, apart=True),
    }


def _tensors(columns: Sequence[Column], name: str, *, apart: bool) -> list[dict[str, Any]]:
    """Return a tensor for each named column, or, unless `apart`, one if all are of a type."""
    types = [datatype([column]) for column in columns]
    named = bool(columns) and all(column.name for column in columns)
    if named and (apart or len(set(types)) > 1):
        return [
            {"name": column.name, "datatype": one, "shape": [_ANY_LENGTH, 1]}
            for column, one in zip(columns, types, strict=True)
        ]
    shape = [_ANY_LENGTH, len(columns) or _ANY_LENGTH]
    return [{"name": name, "datatype": datatype(columns), "shape": shape}]

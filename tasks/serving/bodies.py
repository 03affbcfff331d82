"""The bodies of requests and answers: JSON Schemas made from a model's columns, and examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.serving.arrays import Array
    from tasks.serving.schema import Column, Schema

JsonSchema = dict[str, Any]

_INTEGER = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
_NO_LIST = ["string", "number", "boolean", "null", "object"]
# What is the same for every model.
ERROR: JsonSchema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["status", "message", "request"],
            "properties": {
                "status": {"type": "integer", "description": "The status of the answer"},
                "message": {"type": "string", "description": "What is wrong, for people"},
                "request": {
                    "type": "string",
                    "description": "The name of the request, as in `X-Request-Id` and in the log",
                },
            },
        }
    },
}
ERROR_IN_A_WORD: JsonSchema = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "What is wrong, for people"}},
}
META: JsonSchema = {
    "type": "object",
    "description": "Which model has answered",
    "required": ["model", "version", "key", "lock", "code"],
    "properties": {
        "model": {"type": "string", "description": "Its name"},
        "version": {"type": "string", "description": "The beginning of its key"},
        "key": {"type": "string", "description": "The key of the training that made it"},
        "lock": {"type": "string", "description": "The digest of its environment's lock"},
        "code": {"type": "string", "description": "The digest of the sources that answer"},
    },
}
_TENSOR: JsonSchema = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
        "datatype": {
            "type": "string",
            "enum": [
                "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64",
                "FP16", "FP32", "FP64", "BYTES",
            ],
        },
        "parameters": {"type": ["object", "null"]},
        "data": {"type": "array", "description": "The elements, flat or in lists in lists"},
    },
}  # fmt: skip
INFER: JsonSchema = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string", "description": "Comes back with the answer"},
        "inputs": {"type": "array", "minItems": 1, "items": _TENSOR},
        "outputs": {
            "type": "array",
            "description": "The tensors that are wanted; all where nothing is said",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "parameters": {"type": ["object", "null"]},
                },
            },
        },
        "parameters": {"type": ["object", "null"]},
    },
}
INFERRED: JsonSchema = {
    "type": "object",
    "required": ["model_name", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": _TENSOR},
    },
}


def predict(schema: Schema) -> JsonSchema:
    """Return the body of a request for predictions."""
    values = {"description": "A row, or a list of rows", "anyOf": [*_values(schema.inputs)]}
    data: JsonSchema = {
        "type": "object",
        "required": ["ndarray"],
        "properties": {"ndarray": values},
    }
    if schema.inputs:
        data["properties"]["names"] = _names(schema)
    else:  # that there are as many names as values in each row cannot be said
        data["description"] = "`names` may name the values of a row, of which each has as many"
    return {"type": "object", "required": ["data"], "properties": {"data": data}}


def predicted(columns: Sequence[Column]) -> JsonSchema:
    """Return the body of an answer with predictions, or explanations, of these columns."""
    # Not `prefixItems`, with which schemathesis cannot check an answer.
    cells = {"anyOf": [_cell(column) for column in columns]}
    length = {"minItems": len(columns), "maxItems": len(columns)}
    row = {"type": "array", "items": cells, **length}
    forms = [row, {"type": "array", "items": row}]
    if len(columns) == 1:  # the values of all rows may stand in one list
        forms.append({"type": "array", "items": cells})
    data = {
        "type": "object",
        "required": ["names", "ndarray"],
        "properties": {
            "names": {"type": "array", "items": {"type": "string"}},
            "ndarray": {"anyOf": forms} if columns else {"type": "array"},
        },
    }
    properties = {"data": data, "meta": META}
    return {"type": "object", "required": ["data", "meta"], "properties": properties}


def invocation(schema: Schema) -> JsonSchema:
    """Return the body of a request in a form of MLflow's."""
    row, rows = _values(schema.inputs)
    frame: JsonSchema = {"type": "object", "required": ["data"], "properties": {"data": rows}}
    if schema.inputs:
        columns = _names(schema)
        if "enum" in columns:
            columns["enum"] = [names for names in columns["enum"] if names is not None]
        frame["properties"]["columns"] = {**columns, "type": "array"}
    either: JsonSchema = {"anyOf": [row, rows]}
    forms = {"dataframe_split": frame, "instances": either, "inputs": either}
    if schema.names:
        record = {
            "type": "object",
            "required": list(schema.names),
            "properties": {column.name: _cell(column) for column in schema.inputs},
            "additionalProperties": False,
        }
        forms["dataframe_records"] = {"type": "array", "items": record, "minItems": 1}
        forms["inputs"] = {"anyOf": [row, rows, forms["dataframe_records"]]}
    return {
        "anyOf": [
            {"type": "object", "required": [name], "properties": {name: form}, "maxProperties": 1}
            for name, form in forms.items()
        ]
    }


INVOKED: JsonSchema = {
    "type": "object",
    "required": ["predictions"],
    "properties": {"predictions": {"description": "A value, or an object, for each row"}},
}


def _values(columns: Sequence[Column]) -> tuple[JsonSchema, JsonSchema]:
    """Return what a row is, and what rows are."""
    if not columns:
        row: JsonSchema = {"type": "array", "minItems": 1, "prefixItems": [{"type": _NO_LIST}]}
        inner: JsonSchema = {"type": "array", "minItems": 1}
    else:
        inner = row = _row(columns)
    return row, {"type": "array", "minItems": 1, "items": inner}


def _row(columns: Sequence[Column]) -> JsonSchema:
    length = {"type": "array", "minItems": len(columns), "maxItems": len(columns)}
    if len(set(columns)) == 1:
        return {**length, "items": _cell(columns[0])}
    return {**length, "prefixItems": [_cell(column) for column in columns]}


def _cell(column: Column) -> JsonSchema:
    title = {"title": column.name} if column.name else {}
    if column.kind == "any":
        return {**title}
    kind = _INTEGER if column.kind == "integer" else {"type": column.kind}
    return {**title, **kind, **({"type": [column.kind, "null"]} if column.nullable else {})}


def _names(schema: Schema) -> JsonSchema:
    """Return what the names of the columns are, which may be left out."""
    names: JsonSchema = {"type": ["array", "null"], "items": {"type": "string"}}
    width = len(schema.inputs)
    if schema.names:
        names["enum"] = [list(schema.names), [], None]
        if width > 1:
            names["description"] = "In another order, the values of each row move with them"
    else:
        names |= {"minItems": width, "maxItems": width, "uniqueItems": True}
    return names


# Examples


def predict_example(array: Array) -> dict[str, Any]:
    """Return a request for predictions."""
    names = {"names": list(array.names)} if array.names else {}
    return {"data": {**names, "ndarray": msgspec.json.decode(array.data)}}


def invocation_example(array: Array) -> dict[str, Any]:
    """Return the same request in a form of MLflow's."""
    values = msgspec.json.decode(array.data)
    if not array.names:
        return {"inputs": values}
    return {"dataframe_split": {"columns": list(array.names), "data": _table(values)}}


def infer_example(array: Array) -> dict[str, Any] | None:
    """Return the same request in the Open Inference Protocol, None where it has no such form."""
    table = _table(msgspec.json.decode(array.data))
    if len({len(row) for row in table}) != 1:
        return None
    columns = [list(column) for column in zip(*table, strict=True)]
    kinds = [_datatype(column) for column in columns]
    if len(set(kinds)) == 1:
        values = [value for row in table for value in row]
        tensors = [_tensor("input", kinds[0], [len(table), len(columns)], values)]
    else:
        parts = zip(array.names, kinds, columns, strict=False)
        tensors = [_tensor(name, kind, [len(table), 1], column) for name, kind, column in parts]
    return {"inputs": tensors} if tensors and all(kinds) else None


def _table(values: list[Any]) -> list[list[Any]]:
    return values if isinstance(values[0], list) else [values]


def _datatype(column: list[Any]) -> str:
    """Return the type of tensor that holds these values, nothing where none does."""
    types = {type(value) for value in column if value is not None}
    if types and types <= {int, float}:
        return "FP64"
    return {frozenset([str]): "BYTES", frozenset([bool]): "BOOL"}.get(frozenset(types), "")


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}

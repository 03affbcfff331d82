"""The sample requests of a model, and the schema that follows from them.

What is not sure is allowed: a whole number in a sample may be any number, rows whose lengths differ
may have any length, and null stands for a missing number everywhere.  A column of texts is without
null only where the whole training data has been seen to be.  `serving.schema` in `model.json`
goes before all that.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from tasks.errors import Fault, UserError
from tasks.model import DEFAULT_DATASET
from tasks.positions import parse
from tasks.serving.arrays import Array, RequestError
from tasks.serving.schema import Column, Kind, Schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tasks.model import Model

MOST_ROWS = 1000
MOST_BYTES = 1 << 20
"""As much of the training data is looked at."""

FIRST = "data"
"""The sample that comes first: `samples/data.json`."""

_FOLDERS = ("samples", "model_modules/samples")
_FORM = 'a sample is a request: `{"data": {"names": [...], "ndarray": [...]}}`'
_DELIMITERS = ",;\t|"
_TABLE = 2  # dimensions: rows of columns
_KINDS: dict[type, Kind] = {bool: "boolean", int: "number", float: "number", str: "string"}
_MISSING = {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"}


@dataclass(frozen=True)
class Example:
    """A sample request: the name of its file without the ending, its path, and its values."""

    name: str
    path: str
    array: Array


class _Seen(NamedTuple):
    """What the values of a column are; no kind where none was seen."""

    kind: Kind | None
    nulls: bool


def read(model: Model) -> tuple[Schema, tuple[Example, ...]]:
    """Return a model's schema and its examples, the first of them first.

    The outputs are known from `model.json` or not at all; `answered` adds them.  Raises UserError
    for a sample that cannot be read, or does not fit the schema that `model.json` gives.
    """
    found = examples(model.root)
    dataset = model.datasets.get((DEFAULT_DATASET, "train"))
    data = [file.path for file in dataset.files] if dataset else []
    schema = schema_of(model.document, [example.array for example in found], data)
    for example in found:
        _check(example, schema, model)
    return schema, found


def _check(example: Example, schema: Schema, model: Model) -> None:
    """Raise UserError for a sample that the model's own schema would refuse."""
    try:
        schema.check(example.array)
    except RequestError as error:
        raise UserError(
            f"`{example.path}` does not fit the schema of `{model.name}`",
            ("key", "serving.schema.inputs"),
            ("reason", error),
            hint=f"correct the sample, or the schema in `{model.folder}/model.json`",
        ) from error


def examples(root: str) -> tuple[Example, ...]:
    """Return the sample requests in a model's folder; JSON of other forms is passed over.

    Raises UserError for a file that is no JSON.
    """
    return tuple(example for path in _paths(root) if (example := _example(path)))


def faults(root: str) -> Iterator[Fault]:
    """Yield a warning for each sample that serving stops at, and for a first one with no values."""
    for path in _paths(root):
        try:
            example = _example(path)
        except UserError as error:
            yield _unreadable(path, dict(error.facts)["reason"])
            continue
        if example is None and os.path.basename(path) == f"{FIRST}.json":
            message = "expected an object `data` with a list `ndarray`, found another form"
            yield Fault(path, 1, "data", message, _FORM, warning=True)


def _unreadable(path: str, reason: str) -> Fault:
    """Return a warning for a sample that is no JSON, with its line where that is known."""
    found: tuple[Fault, ...] = ()
    with contextlib.suppress(OSError, UnicodeDecodeError), open(path, encoding="utf-8") as file:
        found = parse(file.read(), path).faults
    first = found[0] if found else Fault(path, 0, "", f"cannot be read: {reason}", _FORM)
    return replace(first, warning=True)


def _paths(root: str) -> list[str]:
    """Return the samples in a model's folder, the first of them first."""
    for folder in (os.path.join(root, name) for name in _FOLDERS):
        if os.path.isdir(folder):
            names = [name for name in os.listdir(folder) if name.endswith(".json")]
            names.sort(key=lambda name: (name != f"{FIRST}.json", name))
            return [os.path.join(folder, name) for name in names]
    return []


def _example(path: str) -> Example | None:
    try:
        with open(path, "rb") as file:
            document = msgspec.json.decode(file.read().removeprefix(codecs.BOM_UTF8))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"`{path}` cannot be read", ("reason", error), hint=_FORM) from error
    data = document.get("data") if isinstance(document, dict) else None
    data = data if isinstance(data, dict) else {}
    values, names = data.get("ndarray"), data.get("names") or ()
    if not isinstance(values, list) or not values or not isinstance(names, (list, tuple)):
        return None
    array = Array(msgspec.json.encode(values), tuple(map(str, names)))
    return Example(os.path.splitext(os.path.basename(path))[0], path, array)


def schema_of(
    document: Mapping[str, Any], arrays: Sequence[Array], data: Iterable[str] = ()
) -> Schema:
    """Return the schema that `model.json` gives, or that examples and files of data show."""
    given = document.get("serving", {}).get("schema", {})
    outputs = _given(given.get("outputs", ()))
    if "inputs" in given:
        return Schema(_given(given["inputs"]), outputs)
    return Schema(_inferred(arrays, data), outputs)


def _given(columns: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    return tuple(
        Column(column["name"], cast("Kind", column["type"]), column.get("nullable", True))
        for column in columns
    )


def answered(schema: Schema, answer: Array) -> Schema:
    """Return the schema with the columns of a model's answer to an example.

    Outputs that `model.json` gives stay as they are.
    """
    return schema if schema.outputs else replace(schema, outputs=tuple(_of_answer(answer)))


def _of_answer(answer: Array) -> list[Column]:
    if answer.dtype:
        *_, width = shape = answer.shape if answer.shape[1:] else (*answer.shape, 1)
        kind: Kind = "boolean" if answer.dtype == "bool" else "number"
        kind = "integer" if "int" in answer.dtype else kind
        seen = [_Seen(kind, nulls=True)] * (width if len(shape) == _TABLE else 0)
    else:
        values = msgspec.json.decode(answer.data)
        rows = values if isinstance(values, list) else [values]
        if not all(isinstance(row, list) for row in rows):
            rows = [[value] for value in rows]
        seen = _whole(_seen(rows), rows)
    if len(seen) == 1 and len(answer.names) > 1:  # one row
        seen *= len(answer.names)
    names = answer.names if len(answer.names) == len(seen) else ("",) * len(seen)
    return [Column(name, one.kind or "any") for name, one in zip(names, seen, strict=True)]


def _whole(seen: list[_Seen], rows: Sequence[Any]) -> list[_Seen]:
    """Return columns of answers with those as integers that hold nothing else: they always do."""
    cells = zip(*rows, strict=True) if seen else ()
    whole = [all(type(cell) in {int, type(None)} for cell in column) for column in cells]
    return [
        one._replace(kind="integer") if one.kind == "number" and is_whole else one
        for one, is_whole in zip(seen, whole, strict=True)
    ]


def _inferred(arrays: Sequence[Array], data: Iterable[str]) -> tuple[Column, ...]:
    """Return the columns that all examples have, none where they have not the same ones."""
    names: tuple[str, ...] = ()
    rows: list[list[Any]] = []
    for array in arrays:
        values = msgspec.json.decode(array.data)
        if all(isinstance(value, dict) for value in values):
            return ()  # each is a row
        found = values if isinstance(values[0], list) else [values]
        names = names or array.names
        same = sorted(array.names) == sorted(set(names)) and _width(found) == len(names)
        if array.names and not same:
            return ()
        order = [array.names.index(name) for name in names if array.names]
        rows += [[row[place] for place in order] for row in found] if order else found
    seen = _seen(rows)
    if names and len(names) != len(seen):
        return ()
    shown = _look(names, data)
    columns = zip(names or ("",) * len(seen), seen, strict=True)
    return tuple(_column(name, one, shown.get(name)) for name, one in columns)


def _column(name: str, sample: _Seen, data: _Seen | None) -> Column:
    kinds = {one.kind for one in (sample, data) if one and one.kind}
    kind = kinds.pop() if len(kinds) == 1 else "any"
    sure = kind in ("string", "boolean") and data is not None
    return Column(name, kind, nullable=not sure or sample.nulls or (data is None or data.nulls))


def _seen(rows: Sequence[Any]) -> list[_Seen]:
    """Return what each column of rows holds, nothing where their lengths differ."""
    if not _width(rows):
        return []
    return [_Seen(_kind(column), None in column) for column in zip(*rows, strict=True)]


def _width(rows: Sequence[Any]) -> int:
    """Return the length of each of the rows, 0 where they have not all the same."""
    widths = {len(row) if isinstance(row, list) else 0 for row in rows}
    return widths.pop() if len(widths) == 1 else 0


def _kind(values: Iterable[object]) -> Kind | None:
    """Return the kind of values in JSON, none where all are null."""
    kinds = {_KINDS.get(type(value), "any") for value in values if value is not None}
    return kinds.pop() if len(kinds) == 1 else "any" if kinds else None


# The training data


def _look(names: Sequence[str], paths: Iterable[str]) -> dict[str, _Seen]:
    """Return what the first rows of CSV files with a header show of these columns."""
    found: dict[str, _Seen] = {}
    for path in paths if names else ():
        found = {**_look_into(path, names), **found}
    return found


def _look_into(path: str, names: Sequence[str]) -> dict[str, _Seen]:
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
        header, rows, whole = _of_csv(data, names)
    except (OSError, csv.Error):  # a folder, or a file of another form
        return {}
    found = {}
    for place, name in enumerate(header):
        if name in names:
            cells = [row[place] for row in rows if len(row) > place]
            present = [cell for cell in cells if cell not in _MISSING]
            nulls = not whole or len(present) < len(rows)
            found[name] = _Seen(_kind_of_cells(present), nulls)
    return found


def _of_csv(data: bytes, names: Sequence[str]) -> tuple[list[str], list[list[str]], bool]:
    """Return the header, the first rows, and whether these are all."""
    text = data.decode("utf-8-sig", "replace")
    whole = len(data) <= MOST_BYTES
    text = text if whole else text.rpartition("\n")[0]
    first = text.partition("\n")[0]

    def known(delimiter: str) -> int:
        return len({*next(csv.reader([first], delimiter=delimiter), [])} & {*names})

    delimiter = max(_DELIMITERS, key=known)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = next(reader, [])
    rows = [row for row in itertools.islice(reader, MOST_ROWS) if row]
    return header, rows, whole and next(reader, None) is None


def _kind_of_cells(cells: Sequence[str]) -> Kind | None:
    if not cells:
        return None
    if all(cell.lower() in ("true", "false") for cell in cells):
        return "boolean"
    try:
        for cell in cells:
            float(cell)
    except ValueError:
        return "string"
    return "number"

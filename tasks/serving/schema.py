"""What a model takes and answers, column by column, and whether the values of a request fit.

The types are compiled once for each schema, so that width and kinds are checked in C.  What msgspec
says of a value that does not fit, such as ``$[3][1]``, is told with row and column, from 1.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import msgspec

from tasks.errors import did_you_mean
from tasks.positions import shown
from tasks.serving.arrays import WORDS, Array, RequestError, holds_rows, in_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["number", "integer", "string", "boolean", "any"]

EXPECTED = {
    "number": "a number",
    "integer": "a whole number",
    "string": "a string",
    "boolean": "`true` or `false`",
    "any": "a value",
}
"""The kinds, and how a person is told of them."""

# Beyond 64 bits no model can hold a whole number.
_INTEGER = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_TYPES: dict[str, Any] = {
    "number": float,
    "integer": _INTEGER,
    "string": str,
    "boolean": bool,
    "any": Any,
}
_SOME = msgspec.Meta(min_length=1)
# The kind of a tensor's numbers, and how many bytes each takes.
_DTYPES: dict[str, tuple[Kind, int]] = {
    "bool": ("boolean", 1),
    **{f"int{bits}": ("integer", bits // 8) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": ("integer", bits // 8) for bits in (8, 16, 32, 64)},
    **{f"float{bits}": ("number", bits // 8) for bits in (16, 32, 64)},
}
_RAW = msgspec.json.Decoder(list[list[msgspec.Raw]])  # rows whose values stay as they are written
# A row such as this is sent as rows: where nothing is known, objects are rows themselves.
_BEGINS_WITH_AN_OBJECT = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*\{").match
_TOO_LARGE = re.compile("out of range|`int` [<>]=").search
_INDEX = re.compile(r"\[(\d+)\]")
_LONGEST_LIST = 5
_MOST_MEANT = 100  # columns of which a misspelt name may be one: to compare two takes some 30 us


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `name` is empty where nobody has named it, `nullable` allows null."""

    name: str
    kind: Kind = "any"
    nullable: bool = True

    @property
    def expected(self) -> str:
        """What must stand in it, in words."""
        return f"{EXPECTED[self.kind]} or `null`" if self.nullable else EXPECTED[self.kind]


@dataclass(frozen=True)
class Schema:
    """The columns of a model's requests and of its answers.

    No columns mean that nothing is known of them: rows of any length, of anything.
    """

    inputs: tuple[Column, ...] = ()
    outputs: tuple[Column, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs, empty where they have none."""
        names = tuple(column.name for column in self.inputs)
        return names if all(names) else ()

    def check(self, array: Array) -> Array:
        """Return the array as the model wants it: columns in its order, named where it names them.

        Raises RequestError, 400 for what is no list in JSON, 422 for names and values that do not
        fit the schema.
        """
        if array.names and array.names != self.names:
            array = self._ordered(array)
        if array.dtype:
            self._check_tensor(array)
        else:
            self._check_json(array)
            if self.inputs and _BEGINS_WITH_AN_OBJECT(array.json):
                array = replace(array, data=b"[%b]" % array.json)
        if array.names or not self.names:
            return array
        return replace(array, names=self.names)

    # Values in JSON

    @cached_property
    def _decoders(self) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
        """What reads one row, and what reads rows."""
        kinds = [(_TYPES[column.kind], column.nullable) for column in self.inputs]
        row: Any = tuple[tuple(kind | None if nullable else kind for kind, nullable in kinds)]  # type: ignore[misc]
        if not kinds:
            row = Annotated[list[Any], _SOME]
        rows: Any = Annotated[list[row], _SOME]
        return msgspec.json.Decoder(row), msgspec.json.Decoder(rows)

    def _check_json(self, array: Array) -> None:
        text = array.json
        rows = holds_rows(text)
        decode = self._decoders[rows].decode
        parts = in_parts(text) if rows else [(0, text)]
        at, part = 0, text
        try:
            for at, part in parts:
                found = decode(part)
                if not self.inputs and array.names:
                    _check_widths(found if rows else [found], len(array.names), at, rows=rows)
        except msgspec.ValidationError as error:
            self._refuse(part, at if rows else None, error)
        except (msgspec.DecodeError, RecursionError) as error:
            raise RequestError(_no_json(error)) from error

    def _refuse(self, data: bytes, at: int | None, error: msgspec.ValidationError) -> NoReturn:
        """Say what is wrong with rows, of which `at` come before, or with a row (None)."""
        place = [int(index) for index in _INDEX.findall(str(error))]
        where = self._place(place, at)
        if _TOO_LARGE(str(error)):
            raise _unfit(f"{where}the number is too large") from error
        try:
            value = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError) as worse:
            raise RequestError(_no_json(worse)) from error
        if not isinstance(value, list):
            raise RequestError(f"Expected a list of values or of rows, found {described(value)}")
        if not value:
            raise _unfit("there are no rows: the list is empty")
        for index in place:
            value = value[index]
        if len(place) < (1 if at is None else 2):
            width = _values(len(self.inputs)) if self.inputs else "values"
            wrong = f"expected {width}, found {_counted(value)}"
        else:
            wrong = f"expected {self.inputs[place[-1]].expected}, found {described(value)}"
        raise _unfit(f"{where}{wrong}") from error

    def _place(self, place: list[int], at: int | None) -> str:
        words = []
        if at is not None and place:
            words.append(f"row {at + place[0] + 1}")
            place = place[1:]
        if place:
            words.append(self._column(place[0]))
        return f"{', '.join(words)}: " if words else ""

    def _column(self, index: int) -> str:
        return f"column {shown(self.names[index])}" if self.names else f"value {index + 1}"

    # The order of the columns

    def _ordered(self, array: Array) -> Array:
        """Return an array whose columns have names with its columns in the model's order."""
        self._check_names(array.names)
        places = {name: index for index, name in enumerate(array.names)}
        order = [places[name] for name in self.names]
        if not order:
            return array
        if array.dtype:
            self._check_tensor(array)
            data = _moved(array, order)
        else:
            data = self._moved_json(array.json, order)
        return Array(data, self.names, array.dtype, array.shape)

    def _check_names(self, names: tuple[str, ...]) -> None:
        known, wanted, given = self.names, set(self.names), set(names)
        if len(known) == len(names) and given == wanted:
            return
        wrong = [f"{shown(name)} is named twice" for name, n in Counter(names).items() if n > 1]
        if known:
            unknown = [name for name in dict.fromkeys(names) if name not in wanted]
            missing = [name for name in known if name not in given]
            for name in unknown:
                shows = len(wrong) < _LONGEST_LIST and len(missing) <= _MOST_MEANT
                meant = did_you_mean(name, missing) if shows else ""
                wrong.append(f"{shown(name)} is not a column of this model{meant and ', ' + meant}")
            wrong += [f"the column {shown(name)} is missing" for name in missing]
        elif self.inputs and len(names) != len(self.inputs):
            wrong.append(f"{len(names)} names for {_values(len(self.inputs))} a row")
        if wrong:
            more = len(wrong) - _LONGEST_LIST
            told = [*wrong[:_LONGEST_LIST], *([f"and {more} more"] if more > 0 else [])]
            raise _unfit("; ".join(told))

    def _moved_json(self, data: bytes, order: Sequence[int]) -> bytes:
        """Return JSON with the columns moved, each value as it is written."""
        rows = holds_rows(data)
        moved = []
        try:
            for at, part in in_parts(data if rows else b"[%b]" % data):
                found = _RAW.decode(part)
                _check_widths(found, len(order), at, rows=rows)
                kept = msgspec.json.encode([[row[index] for index in order] for row in found])
                moved.append(kept[1:-1])
        except (msgspec.DecodeError, RecursionError):
            return data  # the check that follows says what is wrong
        return b"[%b]" % b",".join(moved) if rows else moved[0]

    # Tensors

    def _check_tensor(self, array: Array) -> None:
        kind, size = _DTYPES.get(array.dtype, ("any", 0))
        if not size:
            raise _unfit(f"tensors of {shown(array.dtype)} are not known")
        shape = array.shape
        if len(array.data) != math.prod(shape) * size:
            expected = f"{array.dtype} of shape {list(shape)} is {math.prod(shape) * size} bytes"
            raise RequestError(f"A tensor of {expected}, found {len(array.data)}")
        if not math.prod(shape) or not shape:
            raise _unfit(f"there are no rows: the tensor's shape is {list(shape)}")
        width = len(self.inputs) or len(array.names)
        if width and (shape[-1] != width or (self.inputs and len(shape) > 2)):  # noqa: PLR2004 - rows
            wrong = f"expected [{width}] or [rows, {width}], found {list(shape)}"
            raise _unfit(f"the tensor's shape: {wrong}")
        fitting = {"any", kind, *(["number"] if kind == "integer" else [])}
        if not self._kinds <= fitting:
            kinds = [column.kind for column in self.inputs]
            index = next(index for index, kind in enumerate(kinds) if kind not in fitting)
            wrong = f"expected {EXPECTED[kinds[index]]}, found a tensor of {array.dtype}"
            raise _unfit(f"{self._column(index)}: {wrong}")

    @cached_property
    def _kinds(self) -> frozenset[str]:
        return frozenset(column.kind for column in self.inputs)


def _unfit(message: str) -> RequestError:
    """Return the error for values and names that do not fit."""
    return RequestError(message[:1].upper() + message[1:], HTTPStatus.UNPROCESSABLE_ENTITY)


def described(value: object) -> str:
    """Return what a value in JSON is, short enough for a sentence."""
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str):
        return f"the string {shown(value)}" if value else "an empty string"
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{'the number ' if number else ''}{shown(msgspec.json.encode(value).decode())}"


def _values(count: int) -> str:
    return f"{count} value" if count == 1 else f"{count} values"


def _counted(value: object) -> str:
    """Return how many values a row holds, or what stands in its place."""
    if not isinstance(value, list):
        return described(value)
    return str(len(value)) if value else "none"


def _check_widths(found: list[list[Any]], width: int, at: int, *, rows: bool) -> None:
    for number, row in enumerate(found, at + 1):
        if len(row) != width:
            place = f"row {number}: " if rows else ""
            raise _unfit(f"{place}expected {_values(width)}, found {_counted(row)}")


def _no_json(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "Lists and objects are nested too deep"
    reason = str(error).removeprefix("JSON is malformed: ")
    return f"The values are no JSON: {reason}"


def _moved(array: Array, order: Sequence[int]) -> bytes:
    """Return a tensor's bytes with the columns moved."""
    words = WORDS[_DTYPES[array.dtype][1]]
    moved = bytearray(len(array.data))
    source, target = memoryview(array.data).cast(words), memoryview(moved).cast(words)
    for index, origin in enumerate(order):
        target[index :: len(order)] = source[origin :: len(order)]
    return bytes(moved)

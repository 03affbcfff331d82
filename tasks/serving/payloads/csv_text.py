"""Comma-separated values, as RFC 4180 has them.

An empty cell is missing.  What another says depends on the column: in one of strings it is a text,
in one of numbers also `.5`, `+1` and `007` are numbers, and `NaN` is missing.  Elsewhere numbers,
`true` and `false` as JSON writes them are what they say, and all else is a text.  The media type's
parameter `header` (`present`, `absent`) tells whether the first line names the columns; without it,
a line with nothing but words does.
"""

from __future__ import annotations

import csv
import io
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from tasks.serving.arrays import Array, RequestError
from tasks.serving.payloads import NOTHING, About, Wanted
from tasks.serving.payloads.parsing import CSV, media_type
from tasks.serving.payloads.tensors import as_text, encode, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.serving.schema import Column


_VALUE = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?|true|false")
_NUMBER = re.compile(r"([-+]?)(?=\.?[0-9])0*([1-9][0-9]*)?(?:\.([0-9]*))?([eE][-+]?[0-9]+)?")
_HINT = "for one without names say `text/csv; header=absent`"


def read(
    body: bytes, headers: Mapping[str, str], columns: Sequence[Column] = ()
) -> tuple[Array, Wanted]:
    """Return the values of a request: always rows."""
    return _read(body, _header(headers), columns), NOTHING


def read_frame(
    body: bytes, headers: Mapping[str, str], columns: Sequence[Column] = ()
) -> tuple[Array, Wanted]:
    """Return the values of a request whose first line names the columns unless it says otherwise.

    So does MLflow, and the columns of a data frame may be named by numbers.
    """
    return _read(body, _header(headers) or "present", columns), NOTHING


def _header(headers: Mapping[str, str]) -> str:
    """Return what the media type says of the first line."""
    return media_type(headers.get("content-type", ""))[1].get("header", "")


def _read(body: bytes, header: str, columns: Sequence[Column]) -> Array:
    """Return rows, and the names of their columns."""
    found = _lines(body)
    names: tuple[str, ...] = ()
    known = {column.name: column for column in columns if column.name}
    if found and (header == "present" or (header != "absent" and _all_words(found[0][1]))):
        names = tuple(found.pop(0)[1])
        if known and not header and known.keys().isdisjoint(names):
            told = f"The first line of the CSV names no column of this model; {_HINT}"
            raise RequestError(told, HTTPStatus.UNPROCESSABLE_ENTITY)
    if not found:
        raise RequestError(f"The CSV has no row{f'; {_HINT}' if names else ''}")
    width = len(names or found[0][1])
    by_place = columns if len(columns) == width else [None] * width
    order = [known.get(name) for name in names] if names and known else by_place
    for number, cells in found:
        if len(cells) != width:
            raise RequestError(f"Line {number} of the CSV has {len(cells)} cells, not {width}")
    writers = [_writer(column) for column in order]
    written = (
        ",".join([write(cell) for write, cell in zip(writers, cells, strict=True)])
        for _, cells in found
    )
    return Array(f"[[{'],['.join(written)}]]".encode(), names)


def _lines(body: bytes) -> list[tuple[int, list[str]]]:
    """Return the cells of each line with the number of the line; empty lines are passed over."""
    try:
        reader = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        return [(reader.line_num, cells) for cells in reader if cells]
    except UnicodeDecodeError as error:
        raise RequestError(f"The CSV is not in UTF-8: {error}") from None
    except csv.Error as error:
        raise RequestError(f"Line {reader.line_num} of the CSV: {error}") from None


def _all_words(cells: list[str]) -> bool:
    """Return whether a line names columns: none of its cells is a value, or empty."""
    return not any(cell == "" or _VALUE.fullmatch(cell) for cell in cells)


def _writer(column: Column | None) -> Callable[[str], str]:
    """Return what makes JSON text of the cells of a column."""
    if column and column.kind == "string":
        return _text_or_null if column.nullable else _text
    return _number if column and column.kind in {"number", "integer"} else _json


def _json(cell: str) -> str:
    if cell == "":
        return "null"
    return cell if _VALUE.fullmatch(cell) else _text(cell)


def _number(cell: str) -> str:
    if _VALUE.fullmatch(cell):
        return cell
    if cell.lower() == "nan":
        return "null"
    found = _NUMBER.fullmatch(cell)
    if not found:
        return _json(cell)
    sign, whole, fraction, exponent = found.groups("")
    return f"{sign.strip('+')}{whole or '0'}{fraction and '.'}{fraction}{exponent}"


def _text(cell: str) -> str:
    return encode(cell).decode()


def _text_or_null(cell: str) -> str:
    return _text(cell) if cell else "null"


def write(answer: Array, _about: About, _wanted: Wanted) -> tuple[bytes, dict[str, str]]:
    """Return an answer, below the names of its columns where they are known."""
    found = rows(answer)
    names = bool(answer.names) and len(answer.names) == max(map(len, found), default=0)
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\r\n")
    if names:
        writer.writerow(answer.names)
    writer.writerows([as_text(cell) for cell in row] for row in found)
    header = "present" if names else "absent"
    return lines.getvalue().encode(), {"content-type": f"{CSV}; charset=utf-8; header={header}"}

"""Comma-separated values, as RFC 4180 has them.

An empty cell is missing; numbers, `true` and `false` as JSON writes them are what they say; all
else is a text.  The media type's parameter `header` (`present`, `absent`) tells whether the first
line names the columns; without it, a line with nothing but words does.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from tasks.serving.arrays import Array, RequestError
from tasks.serving.payloads import NOTHING, About, Wanted
from tasks.serving.payloads.parsing import media_type
from tasks.serving.payloads.tensors import as_text, encode, rows

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA = "text/csv"

_VALUE = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?|true|false")


def read(body: bytes, headers: Mapping[str, str]) -> tuple[Array, Wanted]:
    """Return the values of a request: always rows."""
    return _read(body, _header(headers)), NOTHING


def read_frame(body: bytes, headers: Mapping[str, str]) -> tuple[Array, Wanted]:
    """Return the values of a request whose first line names the columns unless it says otherwise.

    So does MLflow, and the columns of a data frame may be named by numbers.
    """
    return _read(body, _header(headers) or "present"), NOTHING


def _header(headers: Mapping[str, str]) -> str:
    """Return what the media type says of the first line."""
    return media_type(headers.get("content-type", ""))[1].get("header", "")


def _read(body: bytes, header: str) -> Array:
    """Return rows, and the names of their columns."""
    found = _lines(body)
    names: tuple[str, ...] = ()
    if found and (header == "present" or (header != "absent" and _all_words(found[0][1]))):
        names = tuple(found.pop(0)[1])
    if not found:
        hint = "; for one without names say `text/csv; header=absent`" if names else ""
        raise RequestError(f"The CSV has no row{hint}")
    width = len(names or found[0][1])
    for number, cells in found:
        if len(cells) != width:
            raise RequestError(f"Line {number} of the CSV has {len(cells)} cells, not {width}")
    written = (",".join(map(_json, cells)) for _, cells in found)
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


def _json(cell: str) -> str:
    """Return a cell as JSON text."""
    if cell == "":
        return "null"
    return cell if _VALUE.fullmatch(cell) else encode(cell).decode()


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
    return lines.getvalue().encode(), {"content-type": f"{MEDIA}; charset=utf-8; header={header}"}

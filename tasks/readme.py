"""The table of models in README.md: a line for each `model.json`, between two markers.

It stands between a line `<!-- models -->` (with any words behind `models`) and a line
`<!-- /models -->`.  A README without these is left alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import urllib.parse
from pathlib import Path
from typing import NamedTuple

from tasks.errors import Fault, UserError, printable
from tasks.looks import MODELS, model_folders
from tasks.model import Model

README = "README.md"
START = "<!-- models: `doit readme` writes this table -->"
END = "<!-- /models -->"

_START = re.compile(r"<!-- models\b.*-->")
_HINT = "`doit readme` writes it"


class Found(NamedTuple):
    """The lines of README.md, and where the table is in them: behind one marker, at the other."""

    lines: list[str]
    first: int
    last: int


def described() -> list[Model]:
    """Return every model with what its `model.json` says, nothing where that cannot be read."""
    found = []
    for folder in model_folders():
        document = None
        with contextlib.suppress(OSError, ValueError, RecursionError):
            document = json.loads(Path(folder, "model.json").read_text(encoding="utf-8-sig"))
        known = document if isinstance(document, dict) else {}
        found.append(Model(os.path.relpath(folder, MODELS), folder, folder, known))
    return found


def update() -> bool:
    """Write the table into README.md, and return whether there are markers for it.

    All else in the file stays as it is, line ends too.  Raises UserError where a marker is missing.
    """
    found = find()
    if not found:
        return False
    lines = [*found.lines[: found.first], *_table(found), *found.lines[found.last :]]
    if lines != found.lines:
        _write("".join(lines))
    return True


def fault() -> Fault | None:
    """Return what is wrong with the table in README.md, with its first line that is."""
    try:
        found = find()
    except UserError as error:
        return Fault(README, 0, "", error.headline, error.hint)
    if not found:
        return None
    there, wanted = found.lines[found.first : found.last], _table(found)
    if there == wanted:
        return None
    same = 0
    while there[same : same + 1] == wanted[same : same + 1]:
        same += 1
    line = found.first + min(same, len(there)) + 1
    return Fault(README, line, "", f"the table is not that of the models in {MODELS}/", _HINT)


def find() -> Found | None:
    """Return where the table is, None where there are no markers.

    Raises UserError where one of the two is missing.
    """
    try:
        with open(README, encoding="utf-8", newline="") as file:
            lines = file.read().splitlines(keepends=True)
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    starts = [at for at, line in enumerate(lines) if _START.fullmatch(line.strip())]
    ends = [at for at, line in enumerate(lines) if line.strip() == END]
    if not starts and not ends:
        return None
    if len(starts) != 1 or len(ends) != 1 or ends < starts:
        raise UserError(
            f"`{README}` has {len(starts)} lines `<!-- models -->` and {len(ends)} lines `{END}`",
            hint="the table of models needs one of each, in this order",
        )
    return Found(lines, starts[0] + 1, ends[0])


def _table(found: Found) -> list[str]:
    """Return the lines of the table, ended as the marker's line is."""
    marker = found.lines[found.first - 1]
    end = marker[len(marker.rstrip("\r\n")) :]
    rows = ["| model | what it does | framework |", "|---|---|---|"]
    for model in described():
        about = model.document.get("description")
        cells = (
            f"[{_cell(printable(model.name))}]({urllib.parse.quote(os.fsencode(model.folder))})",
            _cell(about if isinstance(about, str) and about.strip() else model.title),
            _cell(model.framework or "unknown"),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return [row + end for row in rows]


def _cell(text: str) -> str:
    """Return a text that stays within its cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _write(text: str) -> None:
    """Replace README.md, or what it is a link to, in one move."""
    path = os.path.realpath(README)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".README-")
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.chmod(temporary, os.stat(path).st_mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise

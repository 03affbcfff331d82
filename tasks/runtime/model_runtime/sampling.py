"""Rows of a model's data as its scorer is given them: some of those in its CSV files.

Which columns those are says the sample request, `samples/data.json`: by their names where it has
them and the file has a header, else the first so many.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import contextlib
import csv
import json
import os
import random
import re
from typing import Any, Iterator, List, Optional, Tuple

from model_runtime.contract import number
from model_runtime.scoring import Values, is_flat

MOST_ROWS = 100000
MOST_CELLS = 2000000

LARGEST = 1e150
"""What is as large counts as infinite, and infinite as missing."""

MISSING = frozenset({"", "na", "n/a", "nan", "null"})
"""What stands for no value where all is text, in small letters."""

_INTEGER = re.compile(r" *[+-]?[0-9]{1,400} *")


class Reservoir:
    """A random choice of so many rows, the same one each time; each has the same chance.

    Algorithm R: J. S. Vitter, Random sampling with a reservoir, ACM Transactions on Mathematical
    Software 11 (1985).
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.seen = 0
        self._kept: List[Tuple[int, List[str]]] = []
        self._random = random.Random(0)  # noqa: S311 - chance that repeats, no secret

    def add(self, row: List[str]) -> None:
        """Take a row, perhaps in the place of another."""
        if len(self._kept) < min(MOST_ROWS, MOST_CELLS // len(row)):
            self._kept.append((self.seen, row))
        else:
            # Of all that `random` has, this alone is promised to be the same on every Python.
            place = int(self._random.random() * (self.seen + 1))
            if place < len(self._kept):
                self._kept[place] = (self.seen, row)
        self.seen += 1

    def rows(self) -> List[List[Any]]:
        """Return the rows that were kept, in the order of the files, with numbers and None."""
        return [[cell(text) for text in row] for _, row in sorted(self._kept)]


def read_sample(paths: List[str]) -> Optional[Values]:
    """Return the sample request in the first of these files that is there, None without any.

    Raises ValueError where it is no request.
    """
    path = next(filter(os.path.isfile, paths), None)
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)["data"]
        values = list(data["ndarray"])
        names = [str(name) for name in data.get("names") or ()]
    except (AttributeError, LookupError, TypeError, ValueError):
        raise ValueError('the sample request is not {"data": {"ndarray": [...]}}') from None
    return Values(names, values) if values else None


def read_files(
    paths: List[str], sample: Optional[Values], notes: List[str]
) -> Tuple[List[str], List[List[Any]], int]:
    """Return the names of the columns, the chosen rows, and how many rows there are.

    Without a sample request all columns are taken, and the names are those of the header.  A file
    that cannot be read so is noted in a sentence and left out, and so is, without a word, a row
    that is longer or shorter than the first.
    """
    names, width = [], 0  # type: List[str], int
    if sample:
        row = sample.values if is_flat(sample.values) else sample.values[0]
        names, width = list(sample.names), len(sample.names) or len(row)
    reservoir = Reservoir()
    for path in paths:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_noting(path, notes))
            file = stack.enter_context(open(path, newline="", encoding="utf-8-sig"))
            lines = (row for row in csv.reader(file) if row)
            names, width = _take(lines, names, width, reservoir)
    return names, reservoir.rows(), reservoir.seen


@contextlib.contextmanager
def _noting(path: str, notes: List[str]) -> Iterator[None]:
    """Note that a file is left out where it cannot be read as it should."""
    try:
        yield
    except UnicodeError:
        notes.append(f"{os.path.basename(path)} is left out: it is no text")
    except (OSError, ValueError, csv.Error) as error:
        notes.append(f"{os.path.basename(path)} is left out: {error}")


def _take(
    lines: Iterator[List[str]], names: List[str], width: int, reservoir: Reservoir
) -> Tuple[List[str], int]:
    """Take the rows of a file, and return the names and number of the columns from then on."""
    first = next(lines, None)
    if first is None:
        raise ValueError("it is empty")
    header = [text.strip() for text in first] if all(map(_is_word, first)) else []
    columns = _columns(header, len(first), names, width)
    if not width:
        names = header
    for row in lines if header else _chain(first, lines):
        if len(row) == len(first):
            reservoir.add([row[column] for column in columns])
    return names, len(columns)


def _chain(first: List[str], lines: Iterator[List[str]]) -> Iterator[List[str]]:
    yield first
    yield from lines


def _columns(header: List[str], there: int, names: List[str], width: int) -> List[int]:
    """Return which columns of a file are wanted.  Raises ValueError where they are not there."""
    if header and names:
        places = {name.lower(): place for place, name in reversed(list(enumerate(header)))}
        missing = [name for name in names if name.lower() not in places]
        if missing:
            raise ValueError("no column `{}`".format("`, `".join(missing)))
        return [places[name.lower()] for name in names]
    if there < width:
        raise ValueError(f"its rows have {there} columns, those of the sample request {width}")
    return list(range(width or there))


def _is_word(text: str) -> bool:
    """Return whether a text in a first row may be the name of a column: it is no number."""
    return isinstance(cell(text), str) or not text.strip()


def cell(text: str) -> Any:
    """Return a number where a text is one, None where it stands for none."""
    if text.strip().lower() in MISSING:
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    return number(text) if "_" not in text else text


def finite(value: Any) -> Optional[float]:
    """Return a number as one that can be squared and summed, None for NaN and without bounds."""
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if -LARGEST < found < LARGEST else None

"""The values of a request as columns, each of one kind, for models that want tables.

Only the standard library is used, in a form that Python 3.6 parses.
"""

from collections import Counter
from typing import Any, List, NamedTuple, Sequence

from model_runtime.scoring import is_flat

BOOLEAN, NUMBER, STRING, UNKNOWN = "boolean", "number", "string", ""

_KINDS = {bool: BOOLEAN, int: NUMBER, float: NUMBER, str: STRING, type(None): UNKNOWN}


class Column(NamedTuple):
    """A column: each value is of its kind or None; the kind is UNKNOWN where all are None."""

    name: str
    kind: str
    values: List[Any]


def columns_of(names: Sequence[str], values: Any) -> List[Column]:
    """Return the columns of a flat row, of rows or of an array, `V1`, `V2` ... without names.

    A column with texts and numbers is one of texts.  Raises ValueError for names or rows of
    different lengths, and for a value that is a list or an object.
    """
    rows = _rows(values)
    names = list(names) or [f"V{number}" for number in range(1, len(rows[0]) + 1)]
    if not names:
        raise ValueError("there are no values")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError("a column is there twice: " + ", ".join(f"`{name}`" for name in twice))
    for number, row in enumerate(rows, 1):
        if not isinstance(row, (list, tuple)) or len(row) != len(names):
            held = f"{len(row)} values" if isinstance(row, (list, tuple)) else "one value"
            raise ValueError(f"row {number} has {held}, and there are {len(names)} columns")
    return [_column(name, list(held)) for name, held in zip(names, zip(*rows))]


def _rows(values: Any) -> Sequence[Any]:
    if hasattr(values, "tolist"):  # in an array, what is missing can only be NaN
        values = _without_nan(values.tolist())
    return [values] if is_flat(values) else values


def _without_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return value if value == value else None  # noqa: PLR0124 - NaN alone is not itself


def _column(name: str, values: List[Any]) -> Column:
    """Return the column of values that stand below one another."""
    types = set(map(type, values))
    kinds = {_KINDS.get(one) for one in types} - {UNKNOWN}
    if None in kinds:
        row, found = next((n, v) for n, v in enumerate(values, 1) if type(v) not in _KINDS)
        raise ValueError(
            f"row {row}, column `{name}`: no single value but a {type(found).__name__}"
        )
    if len(kinds) < 2:  # noqa: PLR2004 - of one kind, or nothing
        return Column(name, "".join(kinds), values)  # type: ignore[arg-type]
    if STRING in kinds:
        return Column(name, STRING, [None if v is None else _text(v) for v in values])
    return Column(name, NUMBER, [None if v is None else +v for v in values])


def _text(value: Any) -> str:
    """Return a value as text: a whole number without a point, whatever it was sent as."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value)

"""Values on their way to R and back, through rpy2's low-level interface.

`r` is `rpy2.rinterface`, once R has been started.
"""

import array
from typing import Any, Dict, List, Optional, Sequence, Tuple

from model_runtime.columns import NUMBER, STRING, Column

_INTEGERS_END = 2**31
_NA_INTEGER = -(2**31)


def to_r(value: Any, r: Any) -> Any:
    """Return a plain value as `jsonlite::read_json` has it in R: arrays and objects are lists."""
    if value is None:
        return r.NULL
    if isinstance(value, (dict, list, tuple)):
        items = value.values() if isinstance(value, dict) else value
        made = r.ListSexpVector([to_r(item, r) for item in items])
        if isinstance(value, dict):
            made.names = r.StrSexpVector(list(value))
        return made
    if isinstance(value, bool):
        return r.BoolSexpVector([value])
    if isinstance(value, int) and abs(value) < _INTEGERS_END:
        return r.IntSexpVector([value])
    if isinstance(value, (int, float)):
        return r.FloatSexpVector([float(value)])
    return r.StrSexpVector([value])


def from_r(value: Any, r: Any) -> Any:
    """Return what `plain` in step.R has made of a value: a vector of one is that one."""
    if isinstance(value, r.NULLType):
        return None
    names = value.names
    if not isinstance(value, r.ListSexpVector):
        found = list(value)
        return found[0] if len(found) == 1 else found
    items = [from_r(item, r) for item in value]
    return items if isinstance(names, r.NULLType) else dict(zip(names, items))


def columns_to_r(columns: Sequence[Column], r: Any) -> Any:
    """Return columns as the list that `frame` in scoring.R makes a data frame of.

    Raises ValueError for a text that R cannot hold.
    """
    made = r.ListSexpVector([_vector(column, r) for column in columns])
    made.names = _texts([column.name for column in columns], r)
    return made


def _vector(column: Column, r: Any) -> Any:
    """Return numbers as doubles, truths as logicals, and texts as list(places, texts).

    Each text crosses over once: that is what takes long.
    """
    values = column.values
    if column.kind == STRING:
        places: Dict[Optional[str], int] = {None: _NA_INTEGER}
        numbers = [places.setdefault(text, len(places)) for text in values]
        texts = [text for text in places if text is not None]
        return r.ListSexpVector([r.IntSexpVector(array.array("i", numbers)), _texts(texts, r)])
    if column.kind == NUMBER:
        doubles = [r.NA_Real if value is None else value for value in values]
        return r.FloatSexpVector(array.array("d", doubles))
    truths = [_NA_INTEGER if value is None else value for value in values]
    return r.BoolSexpVector(array.array("i", truths))


def _texts(texts: List[str], r: Any) -> Any:
    joined = "".join(texts)
    joined.encode()  # is it text at all?
    if "\0" in joined:
        raise ValueError("R cannot hold a text with a NUL in it")
    return r.StrSexpVector(texts)


def answer_from_r(told: Any, r: Any) -> Tuple[List[str], List[Any]]:
    """Return the names and the values of an answer, as `answer_of` in scoring.R has made it."""
    parts = dict(zip(told.names, told))
    columns = [_values(dict(zip(one.names, one)), r) for one in parts["columns"]]
    if parts["rows"][0]:
        return list(parts["names"]), list(map(list, zip(*columns)))
    return [], columns[0]


def _values(column: Dict[str, Any], r: Any) -> List[Any]:
    values = _elements(column["values"], r)
    texts = list(column["texts"])
    if texts:
        values = [texts[place - 1] for place in values]
    for place in _elements(column["missing"], r):
        values[place - 1] = None
    return values


def _elements(vector: Any, r: Any) -> List[Any]:
    """Return the elements of a vector: numbers are read from R's memory as one block."""
    from rpy2.rinterface_lib import openrlib  # noqa: PLC0415 - the environment has it

    if isinstance(vector, r.ListSexpVector):
        return [from_r(item, r) for item in vector]
    doubles = isinstance(vector, r.FloatSexpVector)
    found = array.array("d" if doubles else "i")
    data = vector.__sexp__._cdata  # noqa: SLF001 - there is no public way without NumPy
    place = openrlib.REAL(data) if doubles else openrlib.INTEGER(data)
    found.frombytes(openrlib.ffi.buffer(place, len(vector) * found.itemsize)[:])
    values = found.tolist()
    return list(map(bool, values)) if isinstance(vector, r.BoolSexpVector) else values

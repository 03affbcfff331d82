"""The table that the rows of a request are put into, for a SQL model.

It takes the place of the dataset's input table and has the columns of that.

Only the standard library is used, in a form that Python 3.6 parses.
"""

from decimal import Decimal
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from model_runtime.columns import Column
from model_runtime.contract import ModelFault
from model_runtime.warehouse import host_of, identifier

NAME = "MODELMAKE_ROWS"
_KEYS = ("data_table", "table")
_IN_JSON = {str, int, float, bool, type(None)}


class Input(NamedTuple):
    """What the script reads: the key of the dataset that says so, and the table or query."""

    key: str
    said: str

    @property
    def source(self) -> str:
        """What stands behind FROM to read it."""
        return (
            f"({self.said.rstrip('; ')}) AS given" if self.key == "sql" else identifier(self.said)
        )

    def replaced(self, data_conf: Dict[str, Any], table: str) -> Dict[str, Any]:
        """Return the dataset with another table in this one's place."""
        if self.key == "sql":
            return {**data_conf, "sql": f"SELECT * FROM {identifier(table)}"}  # noqa: S608 - quoted
        return {**data_conf, self.key: table} if self.key in _KEYS else data_conf


def input_of(data_conf: Dict[str, Any]) -> Input:
    """Return which table or query of the dataset is its input; raise ModelFault in doubt.

    That is `data_table` (older: `table`), else the query `sql`, else the only one of `tables`.
    """
    for key in (*_KEYS, "sql"):
        if data_conf.get(key):
            return Input(key, str(data_conf[key]))
    tables = [] if host_of(data_conf) else sorted(data_conf.get("tables") or ())
    if len(tables) == 1:
        return Input("tables", tables[0])
    among = " or ".join(f"`{name}`" for name in tables)
    raise ModelFault(
        "the dataset does not say which table the rows of a request stand for:"
        f" name it as `data_table`{among and ', such as '}{among}"
    )


class Table:
    """The table for rows: its name, the names of its columns, and those that must be there.

    Columns are found whatever their case is, as a database does.
    """

    def __init__(self, name: str, columns: Sequence[str], required: Sequence[str]) -> None:
        """Keep what is known; where no column is required by name, all are."""
        self.name = name
        self._columns = {column.lower(): column for column in columns}
        self._required = [name.lower() for name in required or columns]

    def places(self, columns: Sequence[Column]) -> List[str]:
        """Return the name in the table of each column of a request.

        Raises ValueError for a column that the table has not, and for one that is missing.
        """
        given = [column.name.lower() for column in columns]
        wrong = [column.name for column in columns if column.name.lower() not in self._columns]
        if wrong:
            known = ", ".join(f"`{name}`" for name in self._columns.values())
            raise ValueError(f"`{wrong[0]}` is no column of `{self.name}`, which has {known}")
        missing = [self._columns.get(name, name) for name in self._required if name not in given]
        if missing:
            raise ValueError(f"the column `{missing[0]}` of `{self.name}` is missing")
        if len(set(given)) < len(given):
            raise ValueError(f"a column of `{self.name}` is there twice, in other letters")
        return [self._columns[name] for name in given]


def rows_of(cursor: Any) -> Tuple[List[str], List[List[Any]]]:
    """Return the names of a cursor's columns and its rows, with values as JSON has them.

    A decimal is a float; what JSON has nothing for, such as a date, is text.
    """
    names = [column[0] for column in cursor.description]
    columns = [_column(values) for values in zip(*cursor.fetchall())]
    return names, list(map(list, zip(*columns)))


def _column(values: Sequence[Any]) -> Sequence[Any]:
    return values if set(map(type, values)) <= _IN_JSON else [_cell(value) for value in values]


def _cell(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value if value is None or isinstance(value, (int, float)) else str(value)

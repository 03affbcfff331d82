"""`DataFrame` and `copy_to_sql` of the stand-in for `teradataml`: queries that DuckDB answers.

Rows come in the order of the query, or in that in which they were inserted.

Only the standard library is used, in a form that Python 3.6 parses; pandas is what `to_pandas`
makes.
"""

from typing import Any, List, Optional, Tuple

from model_runtime import tables
from model_runtime.stand_in import lacks, note
from model_runtime.tables import execute_sql, quoted
from model_runtime.warehouse import literal

ROWS = 99999
"""How many rows `to_pandas` returns at most where nothing is said, as teradataml does."""

_SHOWN = 10


class DataFrame:
    """The rows of a table or a query; nothing is asked of the database until they are needed."""

    def __init__(
        self,
        table_name: Optional[str] = None,
        index: bool = True,  # noqa: ARG002 - a table here has no index
        index_label: Any = None,
        query: Optional[str] = None,
    ) -> None:
        """Mean a table, by its name or as `in_schema` names it, or a query."""
        if (table_name is None) == (query is None):
            raise ValueError("a DataFrame is of a table or of a query")
        self._query = (query or "").strip().rstrip(";") or f"FROM {quoted(str(table_name))}"
        self._index = index_label

    @classmethod
    def from_table(
        cls, table_name: str, index: bool = True, index_label: Any = None
    ) -> "DataFrame":
        """Return the rows of a table."""
        return cls(table_name, index, index_label)

    @classmethod
    def from_query(cls, query: str, index: bool = True, index_label: Any = None) -> "DataFrame":
        """Return the rows of a query."""
        return cls(None, index, index_label, query)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(lacks(f"DataFrame.{name}", "work on what `to_pandas` returns"))

    def __getitem__(self, key: Any) -> "DataFrame":
        """Return the columns of these names."""
        return self.select(key)

    def __repr__(self) -> str:
        return str(self.head(_SHOWN).to_pandas())

    @property
    def columns(self) -> List[str]:
        """The names of the columns."""
        cursor = execute_sql(self._with("*") + " LIMIT 0")
        return [column[0] for column in cursor.description]

    @property
    def shape(self) -> Tuple[int, int]:
        """The number of rows and of columns."""
        (rows,) = execute_sql(self._with("COUNT(*)")).fetchone()
        return rows, len(self.columns)

    def to_pandas(
        self,
        index_column: Any = None,
        num_rows: int = ROWS,
        all_rows: bool = False,
    ) -> Any:
        """Return the rows as a pandas DataFrame: the first `num_rows`, or all of them."""
        query = self._with("*") + ("" if all_rows else f" LIMIT {int(num_rows)}")
        found = execute_sql(query).df()
        if not all_rows and len(found) == num_rows < self.shape[0]:
            note(f"`to_pandas` returns {num_rows} rows of {self.shape[0]}; all_rows=True all")
        index = index_column or self._index
        return found.set_index(index) if index else found

    def to_sql(self, table_name: str, if_exists: str = "fail", **more: Any) -> None:
        """Write the rows into a table, see `copy_to_sql`."""
        copy_to_sql(self, table_name, if_exists=if_exists, **more)

    def select(self, select_expression: Any) -> "DataFrame":
        """Return the columns of these names, a list or one."""
        return self._of(self._with(", ".join(map(_column, _names(select_expression)))))

    def get(self, key: Any) -> "DataFrame":
        """Return the columns of these names."""
        return self.select(key)

    def drop(self, labels: Any = None, axis: int = 0, columns: Any = None) -> "DataFrame":
        """Return all columns but those of these names."""
        if columns is None and axis != 1:
            raise NotImplementedError(lacks("DataFrame.drop of rows", "use a WHERE in a query"))
        names = ", ".join(map(_column, _names(labels if columns is None else columns)))
        return self._of(self._with(f"* EXCLUDE ({names})"))

    def assign(self, drop_columns: bool = False, **values: Any) -> "DataFrame":
        """Return the rows with columns of these constant values, behind the others or alone."""
        for name, value in values.items():
            if value is not None and not isinstance(value, (str, int, float)):
                what = f"DataFrame.assign of `{name}`"
                raise NotImplementedError(lacks(what, "put the expression into a query"))
        replaced = {name.lower() for name in values}
        kept = [] if drop_columns else [n for n in self.columns if n.lower() not in replaced]
        new = [f"{literal(value)} AS {_column(name)}" for name, value in values.items()]
        return self._of(self._with(", ".join([*map(_column, kept), *new])))

    def head(self, n: int = _SHOWN) -> "DataFrame":
        """Return the first rows."""
        return self._of(self._with("*") + f" LIMIT {int(n)}")

    def sample(
        self, n: Optional[int] = None, frac: Optional[float] = None, seed: int = 0
    ) -> "DataFrame":
        """Return so many rows, or that fraction, and the column `sampleid`: the same each time."""
        if not isinstance(n if frac is None else frac, (int, float)):
            raise NotImplementedError(lacks("DataFrame.sample of several", "sample twice"))
        count = int(n) if n is not None else round(self.shape[0] * float(frac or 0))
        numbered = f"SELECT *, ROW_NUMBER() OVER () AS sampled_row FROM ({self._query}\n)"
        chosen = f"SELECT sampled_row FROM ({numbered}) ORDER BY HASH(sampled_row + {int(seed)})"
        return self._of(
            f"SELECT * EXCLUDE (sampled_row), 1 AS sampleid FROM ({numbered})"
            f" WHERE sampled_row IN ({chosen} LIMIT {count}) ORDER BY sampled_row"
        )

    def _with(self, expressions: str) -> str:
        return f"SELECT {expressions} FROM ({self._query}\n) AS rows_of"

    def _of(self, query: str) -> "DataFrame":
        return DataFrame(query=query)


def copy_to_sql(
    df: Any,
    table_name: str,
    schema_name: Optional[str] = None,
    if_exists: str = "append",
    index: bool = False,
    index_label: Any = None,
    primary_index: Any = None,  # noqa: ARG001 - means nothing in DuckDB, as the two below
    temporary: bool = False,
    types: Any = None,  # noqa: ARG001
    chunksize: Any = None,  # noqa: ARG001
) -> None:
    """Write a pandas DataFrame or one of ours into a table.

    `if_exists` is `append`, `replace` or `fail`.  Raises ValueError where a table is there that is
    not to be, or has other columns.
    """
    if if_exists not in ("append", "replace", "fail"):
        raise ValueError(f"`if_exists` is `append`, `replace` or `fail`, not `{if_exists}`")
    raw = tables.get_connection().raw
    if isinstance(df, DataFrame):
        source, names = f"({df._query}\n)", df.columns  # noqa: SLF001 - it is ours
    else:
        named = df.rename_axis(index_label) if index_label else df
        frame = (named.reset_index() if index else named).rename(columns=str)
        raw.register("copied_frame", frame)
        source, names = "copied_frame", list(frame.columns)
    schema = None if temporary else schema_name
    target = quoted(table_name, schema)
    if schema:
        execute_sql(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
    there = tables.columns(target)
    if there is not None and if_exists == "fail":
        raise ValueError(f"the table {target} is there already")
    if there is None or if_exists == "replace":
        kind = "TEMP TABLE" if temporary else "TABLE"
        execute_sql(f"CREATE OR REPLACE {kind} {target} AS SELECT * FROM {source}")
    else:
        _check_columns(target, there, names)
        execute_sql(f"INSERT INTO {target} BY NAME SELECT * FROM {source}")
    if source == "copied_frame":
        raw.unregister(source)


def _check_columns(target: str, there: List[str], names: List[str]) -> None:
    different = {name.lower() for name in there} ^ {name.lower() for name in names}
    if different:
        raise ValueError(f"the table {target} has other columns: {', '.join(sorted(different))}")


def _names(columns: Any) -> List[str]:
    return [columns] if isinstance(columns, str) else [str(name) for name in columns]


def _column(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

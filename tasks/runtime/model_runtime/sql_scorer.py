"""Requests to a SQL model: their rows take the place of the dataset's input table.

The scoring script is rendered once.  With each request the rows are put into a table with the
columns of the input table, the script is executed, and the predictions table is the answer.  What
a request makes is gone before the next one comes: in DuckDB it is a transaction that is rolled
back, in Teradata it is in volatile tables, see volatile.py.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import json
import math
import re
from typing import Any, Dict, List, Sequence, Tuple

from model_runtime import volatile, warehouse
from model_runtime.columns import BOOLEAN, NUMBER, Column, columns_of
from model_runtime.contract import PACKAGE, ModelFault
from model_runtime.request_table import NAME, Table, input_of, rows_of
from model_runtime.scripts import Statement
from model_runtime.statements import execute_one, ordered, predictions_table, script_of
from model_runtime.warehouse import Connection, identifier, literal, quoted

_DROP = re.compile(r"(DROP\s+\w+\s+)(?!IF\s)", re.IGNORECASE)
_SOURCE = re.compile(r" when casting from source column \S+\(document, 'c(\d+)'\)+")
_LONG = 2**63
_OF_TRANSACTIONS = ("ABORT", "BEGIN", "COMMIT", "END", "ROLLBACK", "START")


class Scorer:
    """Puts requests to a SQL model.

    The answer's rows are in the order of the predictions, not of the request: the rows of many
    requests cannot be put to it at once.
    """

    explain = None
    batches = False

    def __init__(self, request: Dict[str, Any], arguments: Dict[str, Any]) -> None:
        """Open the database, with the model in it."""
        self._names = (request.get("sample") or {}).get("names") or ()
        remote = warehouse.host_of(arguments["data_conf"])
        session = volatile.Session if remote else Session
        self._session = session(request, arguments, self._names)

    def predict(self, names: Sequence[str], values: Any) -> Tuple[List[str], List[List[Any]]]:
        """Return the columns and rows of the predictions.

        Raises ValueError for rows that do not fit the table, StepError where the script fails.
        """
        names = names or self._names
        if not names:
            raise ValueError("the columns have no names, which a table needs")
        columns = columns_of(names, values)
        try:
            return self._session.answer(columns)
        except Exception:
            if self._session.alive():
                raise
            self._session.open()  # the database has gone: once more in another session
            return self._session.answer(columns)


class Session:
    """A DuckDB with the tables of the model and the dataset, but without the rows of the input."""

    def __init__(
        self, request: Dict[str, Any], arguments: Dict[str, Any], required: Sequence[str]
    ) -> None:
        """Open it; a request must have the columns `required`, all of them where there are none."""
        data_conf = arguments["data_conf"]
        self._input, self._data_conf, self._required = input_of(data_conf), data_conf, required
        name = NAME if self._input.key == "sql" else self._input.said
        self._target, self._name = identifier(name), name
        arguments = {**arguments, "data_conf": self._input.replaced(data_conf, name)}
        self._predictions = predictions_table(arguments)
        self._script = script_of(request, arguments, "duckdb")
        self._statements = [_in_transaction(one) for one in self._script.statements]
        self.open()

    def open(self) -> None:
        """Open the database, or open it again."""
        self._connection = connection = warehouse.connect(self._data_conf, self._input.said)
        columns = f"CREATE TABLE IF NOT EXISTS {self._target} AS FROM {self._input.source} LIMIT 0"
        try:
            connection.execute(columns)
        except connection.error as error:
            reason = warehouse.driver_reason(error)
            raise ModelFault(f"`{self._input.key}` of the dataset is no table: {reason}") from None
        described = connection.execute(f"DESCRIBE {self._target}").fetchall()
        names = [column[0] for column in described]
        self._table = Table(self._name, names, self._required)
        self._parsed = [_parsed(connection, one) for one in self._statements]

    def alive(self) -> bool:
        """Return whether the database answers."""
        try:
            self._connection.execute("SELECT 1")
        except self._connection.error:
            self._connection.close()
            return False
        return True

    def answer(self, columns: Sequence[Column]) -> Tuple[List[str], List[List[Any]]]:
        """Return the predictions for the rows of a request."""
        connection, total = self._connection, len(self._statements)
        connection.execute("BEGIN TRANSACTION")
        try:
            self._fill(columns)
            for number, statement in enumerate(self._statements):
                which = f"{number + 1} of {total}"
                execute_one(connection, statement, which, self._parsed[number])
            return rows_of(ordered(connection, self._predictions, self._script.name))
        finally:
            connection.execute("ROLLBACK")

    def _fill(self, columns: Sequence[Column]) -> None:
        """Put the rows into the table, as one document: the database casts to the table's types."""
        names = self._table.places(columns)
        typed = [_typed(column) for column in columns]
        document = json.dumps({f"c{at}": values for at, (_, values) in enumerate(typed)})
        structure = json.dumps({f"c{at}": [kind] for at, (kind, _) in enumerate(typed)})
        into = ", ".join(quoted([name]) for name in names)
        lists = ", ".join(f"unnest(document.c{at})" for at in range(len(names)))
        statement = (
            f"INSERT INTO {self._target} ({into}) SELECT {lists}"  # noqa: S608 - quoted
            f" FROM (SELECT from_json_strict(?, {literal(structure)}) AS document)"
        )
        try:
            self._connection.execute(statement, [document])
        except self._connection.error as error:
            reason = warehouse.driver_reason(error)
            told = _SOURCE.sub(lambda found: f", column `{names[int(found.group(1))]}`", reason)
            raise ValueError(f"the rows do not fit `{self._name}`: {told}") from None


def _typed(column: Column) -> Tuple[str, List[Any]]:
    """Return the type in which DuckDB reads a column from JSON, and its values.

    Numbers that JSON or 64 bits cannot hold are read as text.
    """
    if column.kind != NUMBER:
        return "BOOLEAN" if column.kind == BOOLEAN else "VARCHAR", column.values
    numbers = [value for value in column.values if value is not None]
    if set(map(type, numbers)) == {int}:
        fitting, kind = -_LONG <= min(numbers) <= max(numbers) < _LONG, "BIGINT"
    else:
        fitting, kind = all(map(math.isfinite, numbers)), "DOUBLE"
    if fitting:
        return kind, column.values
    return "VARCHAR", [None if value is None else str(value) for value in column.values]


def _in_transaction(statement: Statement) -> Statement:
    """Return a statement for a transaction, which a DROP that fails would end."""
    if statement.verb in _OF_TRANSACTIONS:
        raise ModelFault(
            f"`{PACKAGE}/{statement.lines[0]}`: each request is a transaction, which the script is"
            f" not to begin or end: {statement.short}"
        )
    if statement.verb != "DROP":
        return statement
    return statement._replace(text=_DROP.sub(r"\1IF EXISTS ", statement.text, count=1))


def _parsed(connection: Connection, statement: Statement) -> Any:
    """Return what DuckDB has parsed of a statement, None where it makes more than one of it."""
    try:
        found = connection.raw.extract_statements(statement.text)
    except connection.error:
        return None  # it is told when it is executed
    return found[0] if len(found) == 1 else None

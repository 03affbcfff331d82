"""Requests to a SQL model in Teradata: all that one makes is in volatile tables.

Those are seen by their own session alone, so that neither requests to other workers nor the tables
of the database are touched.  The script is rendered for them: the table of the rows stands in the
place of the dataset's input, the predictions go to another one, and each table that the script
creates is made a volatile one.  A script that would change any other table is refused.

This has been run against no server, for want of one.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import contextlib
import re
from typing import Any, Dict, List, Sequence, Tuple

from model_runtime import warehouse
from model_runtime.columns import BOOLEAN, NUMBER, Column
from model_runtime.contract import PACKAGE, ModelFault, StepError
from model_runtime.request_table import NAME, Table, input_of, rows_of
from model_runtime.scripts import Statement
from model_runtime.statements import execute_one, ordered, predictions_table, script_of
from model_runtime.warehouse import identifier, quoted

PREDICTIONS = "MODELMAKE_PREDICTIONS"
BATCH = 5000  # rows that are sent at once

_ROWS = identifier(NAME)
_PART = r'(?:"(?:[^"]|"")+"|[\w$#]+)'
_TABLE = rf"({_PART}(?:\s*\.\s*{_PART})?)"
_CREATE = re.compile(
    rf"CREATE\s+((?:(?:SET|MULTISET|VOLATILE)\s+)*)TABLE\s+{_TABLE}", re.IGNORECASE
)
_CHANGE = re.compile(
    r"(?:DROP\s+TABLE|INS(?:ERT)?(?:\s+INTO)?|DEL(?:ETE)?(?:\s+FROM)?|UPD(?:ATE)?|MERGE\s+INTO)\s+"
    + _TABLE,
    re.IGNORECASE,
)
_CHANGES_NOTHING = ("DATABASE", "SEL", "SELECT", "SET", "WITH")


class Session:
    """A session in Teradata with an empty table for the rows of a request."""

    def __init__(
        self, request: Dict[str, Any], arguments: Dict[str, Any], required: Sequence[str]
    ) -> None:
        """Open it; a request must have the columns `required`, all of them where there are none."""
        predictions_table(arguments)  # is one named?
        self._input = input_of(arguments["data_conf"])
        self._request, self._arguments, self._required = request, arguments, required
        self.open()

    def open(self) -> None:
        """Open the session, or another one in its place."""
        self._connection = warehouse.connect(self._arguments["data_conf"])
        self._is_open = True
        try:
            _, [[user]] = self._ask("SELECT USER")
            self._prepare(user)
            self._ask(like(self._input.source))
            names, _ = self._ask(f"SELECT * FROM {_ROWS} WHERE 1 = 0")  # noqa: S608 - ours
        except BaseException:
            self._close()
            raise
        self._table = Table(NAME, names, self._required)

    def _prepare(self, user: str) -> None:
        """Render the script for the tables of the session, which are in the user's database."""
        given = self._arguments["data_conf"]
        data_conf = dict(self._input.replaced(given, NAME))
        if given.get("predictions_table"):
            data_conf["predictions_table"] = PREDICTIONS
        if isinstance(given.get("predictions"), dict):
            ours = {"database": user, "table": PREDICTIONS}
            data_conf["predictions"] = {**given["predictions"], **ours}
        arguments = {**self._arguments, "data_conf": data_conf}
        self._predictions = predictions_table(arguments)
        self._script = script_of(self._request, arguments, "teradata")
        if NAME not in self._script.text:
            raise ModelFault(
                f"`{self._script.name}` does not read the table that the dataset names as"
                f" `{self._input.key}`, whose place the rows of a request take"
            )
        self._statements, self._made = of_session(self._script.statements)

    def alive(self) -> bool:
        """Return whether the session is there and answers."""
        if self._is_open:
            try:
                self._ask("SELECT 1")
            except StepError:
                self._close()
        return self._is_open

    def answer(self, columns: Sequence[Column]) -> Tuple[List[str], List[List[Any]]]:
        """Return the predictions for the rows of a request."""
        if not self._is_open:
            self.open()
        connection, total = self._connection, len(self._statements)
        try:
            self._fill(columns)
            for number, statement in enumerate(self._statements, 1):
                execute_one(connection, statement, f"{number} of {total}")
            cursor = ordered(connection, self._predictions, self._script.name)
            found = rows_of(cursor)
            connection.finish(cursor)
            return found
        finally:
            self._clear()

    def _fill(self, columns: Sequence[Column]) -> None:
        """Put the rows into the table, each value bound to a parameter."""
        statement = insertion(self._table.places(columns))
        rows = list(zip(*map(bindable, columns)))
        cursor = self._connection.raw.cursor()
        try:
            for at in range(0, len(rows), BATCH):
                cursor.executemany(statement, rows[at : at + BATCH])
        except self._connection.error as error:
            reason = warehouse.driver_reason(error)
            raise ValueError(f"the rows do not fit `{self._input.said}`: {reason}") from None
        finally:
            cursor.close()

    def _clear(self) -> None:
        """Drop what the request has made; where that fails, the next one has another session."""
        try:
            for table in self._made:
                self._ask(f"DROP TABLE {table}", missing_is_fine=True)
            self._ask(f"DELETE FROM {_ROWS}")  # noqa: S608 - ours
        except StepError:
            self._close()

    def _ask(self, statement: str, *, missing_is_fine: bool = False) -> Any:
        """Execute a statement of ours, and return the names of its columns and its rows."""
        try:
            cursor = self._connection.execute(statement)
            found = rows_of(cursor) if cursor.description else None
            self._connection.finish(cursor)
        except self._connection.error as error:
            if missing_is_fine and warehouse.driver_code(error) == warehouse.NO_SUCH_OBJECT:
                return None
            message = f"{warehouse.driver_reason(error)}, in `{statement}`"
            raise StepError(type(error).__name__, message) from None
        return found

    def _close(self) -> None:
        self._is_open = False
        with contextlib.suppress(self._connection.error):
            self._connection.close()


def like(source: str) -> str:
    """Return the statement that makes the empty table for rows, with the columns of another."""
    return (
        f"CREATE MULTISET VOLATILE TABLE {_ROWS} AS (SELECT * FROM {source})"  # noqa: S608 - quoted
        " WITH NO DATA ON COMMIT PRESERVE ROWS"
    )


def insertion(names: Sequence[str]) -> str:
    """Return the statement that puts a row with these columns into the table for rows."""
    columns, marks = ", ".join(quoted([name]) for name in names), ", ".join("?" * len(names))
    return f"INSERT INTO {_ROWS} ({columns}) VALUES ({marks})"  # noqa: S608 - quoted


def bindable(column: Column) -> List[Any]:
    """Return the values of a column as the driver binds them: all in one type, none a truth."""
    whole = column.kind == BOOLEAN or not any(isinstance(v, float) for v in column.values)
    if column.kind not in (BOOLEAN, NUMBER):
        return column.values
    return [None if v is None else int(v) if whole else float(v) for v in column.values]


def of_session(statements: Sequence[Statement]) -> Tuple[List[Statement], List[str]]:
    """Return a script's statements with the tables that it makes as volatile ones, and these.

    A DROP of one that is not made yet is left out: it could only meet a table of the database.
    Raises ModelFault for a statement that would change anything else.
    """
    to_come = {
        _key(made.group(2)) for made in (_CREATE.match(one.text) for one in statements) if made
    }
    made, found = {}, []  # type: Dict[str, str], List[Statement]
    for statement in statements:
        create, change = _CREATE.match(statement.text), _CHANGE.match(statement.text)
        if create:
            made[_key(create.group(2))] = create.group(2)
            found.append(_volatile(statement, create))
        elif change and _key(change.group(1)) in to_come:
            if statement.verb != "DROP" or _key(change.group(1)) in made:
                found.append(statement)
        elif statement.verb in _CHANGES_NOTHING:
            found.append(statement)
        else:
            raise ModelFault(
                f"`{PACKAGE}/{statement.lines[0]}`: a script that answers requests on a server may"
                f" change no tables but those that it creates: {statement.short}"
            )
    return found, list(made.values())


def _volatile(statement: Statement, create: Any) -> Statement:
    kind = create.group(1)
    if "VOLATILE" in kind.upper():
        return statement
    rest = statement.text[create.end(1) :]
    return statement._replace(text=f"CREATE {kind}VOLATILE {rest} ON COMMIT PRESERVE ROWS")


def _key(table: str) -> str:
    """Return the name of a table as another way to write it has it too."""
    return re.sub(r'["\s]', "", table).upper()

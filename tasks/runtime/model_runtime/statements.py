"""The statements of a step's script: found, rendered, executed one by one, and told when they fail.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import os
import re
import sys
import time
from typing import Any, Callable, Dict, List, NamedTuple

from model_runtime import scripts, warehouse
from model_runtime.context import context_of
from model_runtime.contract import PACKAGE, ModelFault, StepError
from model_runtime.warehouse import Connection, identifier

_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)


class Script(NamedTuple):
    """A step's script: its name, its text as it is executed, and its statements."""

    name: str
    text: str
    statements: List[scripts.Statement]


def script_of(request: Dict[str, Any], arguments: Dict[str, Any], engine: str) -> Script:
    """Return the script of a step, rendered for an engine.

    Raises ModelFault where there is none, StepError where it cannot be rendered.
    """
    folder = os.path.join(request["root"], PACKAGE)
    name = _find(folder, request["modules"], engine)
    context = context_of(request["step"], arguments)
    more = {"engine": engine, "context": context}
    script = scripts.render(folder, name, {**arguments, **more})
    return Script(name, script.text, scripts.split(script, engine))


def _find(folder: str, names: List[str], engine: str) -> str:
    """Return the first script that is there and not for another engine."""
    own = [f"{name}.sql" for name in names if name.partition(".")[2] in ("", engine)]
    for name in own:
        if os.path.isfile(os.path.join(folder, name)):
            return name
    raise ModelFault("no script " + " or ".join(f"`{PACKAGE}/{name}`" for name in own))


def execute(
    connection: Connection, statements: List[scripts.Statement], tell: Callable[..., None]
) -> None:
    """Execute statements one by one, with a line of the log for each."""
    total = len(statements)
    for number, statement in enumerate(statements, 1):
        began = time.monotonic()
        execute_one(connection, statement, f"{number} of {total}")
        seconds = time.monotonic() - began
        sys.stdout.write(f"{number}/{total} {seconds:7.3f} s  {statement.short}\n")
        tell(iter=number, iters=total)


def execute_one(
    connection: Connection, statement: scripts.Statement, which: str, parsed: Any = None
) -> None:
    """Execute a statement; raise StepError where it fails, but for a DROP of what is not there.

    `parsed` is the statement as DuckDB has parsed it, where it has.
    """
    try:
        connection.finish(connection.execute(parsed or statement.text))
    except connection.error as error:
        if not _drops_nothing(statement, error):
            raise _failure(statement, which, error) from None


def _drops_nothing(statement: scripts.Statement, error: Exception) -> bool:
    """Return whether a DROP failed because there is nothing to drop, and for no other reason."""
    missing = type(error).__name__ == "CatalogException" and "does not exist" in str(error)
    missing = missing or warehouse.driver_code(error) == warehouse.NO_SUCH_OBJECT
    return statement.verb == "DROP" and missing


def _failure(statement: scripts.Statement, which: str, error: Exception) -> StepError:
    """Return the error that tells which statement failed, with all that is known on the log."""
    sys.stderr.write(f"statement {which}:\n\n{statement.text}\n\n{error}\n")
    at = _LINE.search(str(error))  # DuckDB says which line of the statement it means
    line = min(int(at.group(1)), len(statement.lines)) - 1 if at else 0
    reason = warehouse.driver_reason(error)
    message = f"{reason}, in statement {which}: {statement.short}"
    return StepError(type(error).__name__, message, f"{PACKAGE}/{statement.lines[line]}")


def predictions_table(arguments: Dict[str, Any]) -> str:
    """Return the name of the table, quoted, that scoring is to fill."""
    data_conf = arguments["data_conf"]
    context = context_of("score", arguments)
    table = data_conf.get("predictions_table")
    table = table or context.dataset_info.get_predictions_metadata_fqtn()
    return named(table, "predictions_table")


def named(table: Any, key: str) -> str:
    """Return the name of a table, quoted, that the dataset must have under this key."""
    if not table:
        raise ModelFault(f"the dataset has no `{key}`: the table that the script fills")
    return identifier(table)


def ordered(connection: Connection, table: str, script: str) -> Any:
    """Return a cursor over a table that a script has filled, sorted by its columns in turn."""
    order = "ALL"
    if connection.engine == "teradata":
        empty = f"SELECT * FROM {table} WHERE 1 = 0"  # noqa: S608 - quoted
        cursor = query(connection, empty, script)
        order = ", ".join(str(number + 1) for number in range(len(cursor.description)))
        connection.finish(cursor)
    return query(connection, f"SELECT * FROM {table} ORDER BY {order}", script)  # noqa: S608 - quoted


def query(connection: Connection, statement: str, script: str) -> Any:
    """Execute a statement of ours on a table that the script was to fill."""
    try:
        return connection.execute(statement)
    except connection.error as error:
        message = f"{warehouse.driver_reason(error)}, in `{statement}` after `{script}`"
        raise StepError(type(error).__name__, message, f"{PACKAGE}/{script}") from None

"""Carry out a model written in SQL: a script for each step, in DuckDB or Teradata."""

import json
import os
import re
import sys
import time
from decimal import Decimal
from typing import Any, Dict, List

from model_runtime import scripts, warehouse
from model_runtime.context import context_of
from model_runtime.contract import PACKAGE, ModelFault, StepError, plain, write_rows
from model_runtime.warehouse import Connection, identifier

METRICS = "models/evaluation.json"

_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)


def call(request: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
    """Execute the step's script, and turn what it leaves in tables into files.

    Training leaves its tables as artefacts, evaluation the metrics, scoring the predictions.
    Raises StepError for a statement that fails, ModelFault where a script or table is not named.
    """
    step, data_conf = request["step"], arguments["data_conf"]
    context = context_of(step, arguments)
    with warehouse.connect(data_conf) as connection:
        folder = os.path.join(request["root"], PACKAGE)
        name = find_script(folder, request["modules"], connection.engine)
        more = {"engine": connection.engine, "context": context}
        script = scripts.render(folder, name, {**arguments, **more})
        keep(name, script.text)
        statements = scripts.split(script, connection.engine)
        execute(connection, statements, arguments["progress_callback_handler"])
        if step == "train":
            tables = {arguments["model_table"], data_conf.get("model_table")}
            warehouse.export(connection, sorted(filter(None, tables)))
        elif step == "evaluate":
            metrics = named(data_conf.get("metrics_table"), "metrics_table")
            save_metrics(connection, metrics, name)
        else:
            table = data_conf.get("predictions_table")
            table = table or context.dataset_info.get_predictions_metadata_fqtn()
            save_predictions(connection, named(table, "predictions_table"), name)


def find_script(folder: str, names: List[str], engine: str) -> str:
    """Return the first script that is there and not for another engine."""
    own = [f"{name}.sql" for name in names if name.partition(".")[2] in ("", engine)]
    for name in own:
        if os.path.isfile(os.path.join(folder, name)):
            return name
    raise ModelFault("no script " + " or ".join(f"`{PACKAGE}/{name}`" for name in own))


def named(table: Any, key: str) -> str:
    """Return the name of a table, quoted, that the dataset must have under this key."""
    if not table:
        raise ModelFault(f"the dataset has no `{key}`: the table that the script fills")
    return identifier(table)


def keep(name: str, text: str) -> None:
    """Keep the script as it was executed."""
    os.makedirs("logs", exist_ok=True)
    with open(f"logs/{name}", "w", encoding="utf-8") as file:
        file.write(text)


def execute(connection: Connection, statements: List[scripts.Statement], tell: Any) -> None:
    """Execute statements one by one, with a line of the log for each."""
    total = len(statements)
    for number, statement in enumerate(statements, 1):
        began = time.monotonic()
        try:
            connection.execute(statement.text)
        except connection.error as error:
            if not _drops_nothing(statement, error):
                raise _failure(statement, f"{number} of {total}", error) from None
        seconds = time.monotonic() - began
        sys.stdout.write(f"{number}/{total} {seconds:7.3f} s  {statement.short}\n")
        tell(iter=number, iters=total)


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


def save_metrics(connection: Connection, table: str, script: str) -> None:
    """Write the rows of the metrics table, `key` and `value`, as `models/evaluation.json`.

    DuckDB keeps the order in which they were inserted; a table on Teradata has none.
    """
    query = f'SELECT "key", "value" FROM {table}'  # noqa: S608 - quoted
    rows = _query(connection, query, script).fetchall()
    metrics = {key: _number(value) for key, value in rows}
    with open(METRICS, "w", encoding="utf-8") as file:
        json.dump(metrics, file, indent=4, sort_keys=connection.engine == "teradata")


def save_predictions(connection: Connection, table: str, script: str) -> None:
    """Write the predictions table, sorted by its columns from the first on, as a CSV file."""
    empty = f"SELECT * FROM {table} WHERE 1 = 0"  # noqa: S608 - quoted
    columns = _query(connection, empty, script).description
    order = ", ".join(str(number) for number in range(1, len(columns) + 1))
    ordered = f"SELECT * FROM {table} ORDER BY {order}"  # noqa: S608 - quoted
    write_rows(_query(connection, ordered, script))


def _query(connection: Connection, statement: str, script: str) -> Any:
    """Execute a statement of ours on a table that the script was to fill."""
    try:
        return connection.execute(statement)
    except connection.error as error:
        message = f"{warehouse.driver_reason(error)}, in `{statement}` after `{script}`"
        raise StepError(type(error).__name__, message, f"{PACKAGE}/{script}") from None


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else plain(value)

"""Carry out a model written in SQL: a script for each step, in DuckDB or Teradata."""

import json
import os
from decimal import Decimal
from typing import Any, Dict

from model_runtime import statements, warehouse
from model_runtime.contract import plain, write_rows
from model_runtime.sql_scorer import Scorer
from model_runtime.warehouse import Connection

METRICS = "models/evaluation.json"


def call(request: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
    """Execute the step's script, and turn what it leaves in tables into files.

    Training leaves its tables as artefacts, evaluation the metrics, scoring the predictions.
    Raises StepError for a statement that fails, ModelFault where a script or table is not named.
    """
    step, data_conf = request["step"], arguments["data_conf"]
    with warehouse.connect(data_conf) as connection:
        script = statements.script_of(request, arguments, connection.engine)
        keep(script)
        tell = arguments["progress_callback_handler"]
        statements.execute(connection, script.statements, tell)
        if step == "train":
            tables = {arguments["model_table"], data_conf.get("model_table")}
            warehouse.export(connection, sorted(filter(None, tables)))
        elif step == "evaluate":
            metrics = statements.named(data_conf.get("metrics_table"), "metrics_table")
            save_metrics(connection, metrics, script.name)
        else:
            table = statements.predictions_table(arguments)
            write_rows(statements.ordered(connection, table, script.name))


def scorer(request: Dict[str, Any], arguments: Dict[str, Any]) -> Scorer:
    """Load the model of the working directory into its database, to answer requests with."""
    return Scorer(request, arguments)


def keep(script: statements.Script) -> None:
    """Keep the script as it was executed."""
    os.makedirs("logs", exist_ok=True)
    with open(f"logs/{script.name}", "w", encoding="utf-8") as file:
        file.write(script.text)


def save_metrics(connection: Connection, table: str, script: str) -> None:
    """Write the rows of the metrics table, `key` and `value`, as `models/evaluation.json`.

    DuckDB keeps the order in which they were inserted; a table on Teradata has none.
    """
    query = f'SELECT "key", "value" FROM {table}'  # noqa: S608 - quoted
    rows = statements.query(connection, query, script).fetchall()
    metrics = {key: _number(value) for key, value in rows}
    with open(METRICS, "w", encoding="utf-8") as file:
        json.dump(metrics, file, indent=4, sort_keys=connection.engine == "teradata")


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else plain(value)

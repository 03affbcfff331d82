"""The database behind the stand-in for `teradataml`: DuckDB with the tables of the dataset.

Only the standard library is used, in a form that Python 3.6 parses; the database is imported where
it is opened.
"""

import json
import os
import sys
from typing import Any, Dict, List, Optional

from model_runtime import warehouse
from model_runtime.context import DatasetInfo
from model_runtime.contract import PREDICTIONS, write_rows
from model_runtime.stand_in import is_real, lacks

HOSTS = ("VMO_CONN_HOST", "AOA_CONN_HOST")
REAL_PREDICTIONS = "predictions.json"

_STEP = {"data_conf": {}, "connection": None, "used": False}  # type: Dict[str, Any]


class _Configure:
    """Holds whatever is set on it, and does nothing by it."""


configure = _Configure()


def begin(data_conf: Dict[str, Any]) -> None:
    """Take this dataset for the one whose tables are meant."""
    _STEP["data_conf"] = data_conf


def keep(step: str, info: DatasetInfo) -> None:
    """Make files of what a step has left in tables, if it has used the database.

    Of a training that is every table, of a scoring the predictions, if they are in no file yet.
    """
    scored = step == "score" and not os.path.exists(PREDICTIONS)
    table = quoted(info.get_predictions_metadata_fqtn() or "") if scored else ""
    if _STEP["used"]:
        if step == "train":
            warehouse.export(get_connection())
        elif table and columns(table) is not None:
            write_rows(execute_sql(f"SELECT * FROM {table}"))  # noqa: S608 - quoted
        remove_context()
    elif table and is_real("teradataml"):
        _tell_rows(sys.modules["teradataml"], info)


def _tell_rows(teradataml: Any, info: DatasetInfo) -> None:
    """Write which table on a server holds the predictions, and how many rows it has."""
    schema, table = info.predictions_database, info.predictions_table
    rows = teradataml.DataFrame(teradataml.in_schema(schema, table) if schema else table).shape[0]
    with open(REAL_PREDICTIONS, "w", encoding="utf-8") as file:
        json.dump({"table": info.get_predictions_metadata_fqtn(), "rows": rows}, file, indent=4)


def create_context(host: Optional[str] = None, *_login: Any, **_more: Any) -> Any:
    """Open the database and return it.  Raises NotImplementedError where a host is named."""
    host = host or named_host()
    if host:
        raise NotImplementedError(
            f"no connection to `{host}`: {lacks('teradataml on a host', 'name no host')}"
        )
    if _STEP["connection"] is None:
        connection = warehouse.connect(_STEP["data_conf"])
        connection.execute("SET threads = 1")  # rows come in the same order each time
        _STEP.update(connection=connection, used=True)
    return _STEP["connection"]


def named_host() -> str:
    """Return the host that the dataset or a variable names, or nothing."""
    data_conf = _STEP["data_conf"]
    hosts = [data_conf.get("hostname"), data_conf.get("host"), *map(os.environ.get, HOSTS)]
    return str(next(filter(None, hosts), ""))


def get_connection() -> Any:
    """Return the open database; it is opened where it is not yet."""
    return _STEP["connection"] or create_context()


get_context = get_connection


def remove_context() -> bool:
    """Close the database; what is in its tables stays until the step ends."""
    if _STEP["connection"] is not None:
        _STEP["connection"].close()
        _STEP["connection"] = None
    return True


def execute_sql(statement: str) -> Any:
    """Execute a statement as it is and return its cursor."""
    connection = get_connection()
    try:
        return connection.execute(statement)
    except connection.error as error:
        raise type(error)(_explained(error)) from None


def _explained(error: BaseException) -> str:
    """Return what DuckDB says, with the way out in its first line."""
    first, *rest = str(error).splitlines() or [type(error).__name__]
    kind = type(error).__name__
    if kind == "CatalogException":
        tables = ", ".join(_STEP["data_conf"].get("tables") or {}) or "none"
        first += f" (`tables` of the dataset names: {tables})"
    elif kind == "ParserException":
        first += " (statements go to DuckDB as they are)"
    return "\n".join([first, *rest])


def columns(table: str) -> Optional[List[str]]:
    """Return the columns of a table, whose name is quoted; None where there is no such table."""
    connection = get_connection()
    try:
        cursor = connection.execute(f"SELECT * FROM {table} LIMIT 0")  # noqa: S608 - quoted
    except connection.error as error:
        if type(error).__name__ == "CatalogException":
            return None
        raise
    return [column[0] for column in cursor.description]


def quoted(name: str, schema: Optional[str] = None) -> str:
    """Return the name of a table, `a` or `a.b`, quoted; one that has quotes is left as it is."""
    if '"' in name or not name:
        return name
    parts = [schema, name] if schema else name.split(".")
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def in_schema(schema_name: str, table_name: str) -> str:
    """Return the name of a table in a schema, quoted."""
    return quoted(table_name, schema_name)

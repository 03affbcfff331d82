"""What the stand-ins for `aoa` and `tmo` hold, under whichever of the two names.

Only the standard library is used, in a form that Python 3.6 parses; what is for a plot or a
database imports it where it is called.
"""

import importlib
import os
import re
from typing import Any, Dict, Optional

from model_runtime import tables
from model_runtime.context import OUTPUT
from model_runtime.stand_in import lacks
from model_runtime.warehouse import Connection

_LOGIN = {
    "host": ("VMO_CONN_HOST", "AOA_CONN_HOST"),
    "username": ("VMO_CONN_USERNAME", "AOA_CONN_USERNAME", "TD_USERNAME"),
    "password": ("VMO_CONN_PASSWORD", "AOA_CONN_PASSWORD", "TD_PASSWORD"),
    "logmech": ("VMO_CONN_LOG_MECH", "AOA_CONN_LOG_MECH", "TD_LOGMECH"),
    "database": ("VMO_CONN_DATABASE", "AOA_CONN_DATABASE"),
}


def create_context(database: Optional[str] = None) -> Any:
    """Connect `teradataml`, the real one or its stand-in, with the login that variables hold.

    Where no host is named, by a variable or the dataset, it is DuckDB.
    """
    login = {}  # type: Dict[str, str]
    for name, variables in _LOGIN.items():
        values = [os.environ[variable] for variable in variables if os.environ.get(variable)]
        if values:
            login[name] = values[0]
    host = login.get("host") or tables.named_host()
    if not host:
        login = {}
    else:
        login["host"] = host
    if database:
        login["database"] = database
    return importlib.import_module("teradataml").create_context(**login)


def save_plot(title: str, context: Any = None) -> None:
    """Save the current figure of Matplotlib as `<title>.png` among the artefacts, and clear it."""
    pyplot = importlib.import_module("matplotlib.pyplot")
    name = re.sub(r"[^\w.-]+", "_", title.strip().lower())
    folder = context.artifact_output_path if context else OUTPUT
    pyplot.title(title)
    pyplot.savefig(os.path.join(folder, f"{name}.png"))
    pyplot.clf()


def store_byom_tmp(engine: Any, table: str, version: str, model: bytes) -> None:
    """Put a model's bytes into a temporary table, whose columns are `model_version` and `model`."""
    if not isinstance(engine, Connection):
        raise NotImplementedError(lacks("store_byom_tmp in Teradata"))
    target = tables.quoted(table)
    engine.execute(f"CREATE OR REPLACE TEMP TABLE {target} (model_version VARCHAR, model BLOB)")
    engine.execute(f"INSERT INTO {target} VALUES (?, ?)", [version, model])  # noqa: S608 - quoted


def execute_sql(statement: str) -> Any:
    """Execute a statement and return its cursor."""
    return importlib.import_module("teradataml").execute_sql(statement)


def _only_in_teradata(name: str) -> Any:
    def refuse(*_arguments: Any, **_keywords: Any) -> None:
        raise NotImplementedError(lacks(name, "it works on tables of Teradata's own"))

    return refuse


save_metadata = _only_in_teradata("save_metadata")
save_evaluation_metrics = _only_in_teradata("save_evaluation_metrics")
cleanup_cli = _only_in_teradata("cleanup_cli")
check_sto_version = _only_in_teradata("check_sto_version")
collect_sto_versions = _only_in_teradata("collect_sto_versions")

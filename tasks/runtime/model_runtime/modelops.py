"""What the stand-ins for `aoa` and `tmo` hold, under whichever of the two names.

Only the standard library is used, in a form that Python 3.6 parses; what is for a plot or a
database imports it where it is called.
"""

import importlib
import os
import re
from typing import Any, Optional

from model_runtime import tables
from model_runtime.context import OUTPUT
from model_runtime.stand_in import lacks
from model_runtime.warehouse import Connection

_LOGIN = {
    "username": ("VMO_CONN_USERNAME", "AOA_CONN_USERNAME", "TD_USERNAME"),
    "password": ("VMO_CONN_PASSWORD", "AOA_CONN_PASSWORD", "TD_PASSWORD"),
    "logmech": ("VMO_CONN_LOG_MECH", "AOA_CONN_LOG_MECH", "TD_LOGMECH"),
    "database": ("VMO_CONN_DATABASE", "AOA_CONN_DATABASE"),
}


def create_context(database: Optional[str] = None) -> Any:
    """Connect `teradataml`, the real one or its stand-in, with the login that variables hold.

    Where neither the dataset nor a variable names a host, the stand-in opens DuckDB.
    """
    login = {"host": tables.named_host(), "database": database}
    for name, variables in _LOGIN.items():
        login[name] = login.get(name) or next(filter(None, map(os.environ.get, variables)), None)
    given = {name: value for name, value in login.items() if value}
    return importlib.import_module("teradataml").create_context(**given)


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

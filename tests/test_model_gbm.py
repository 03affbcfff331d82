"""The boosted regression in R: its simulated data, and its metrics against our own arithmetic."""

from __future__ import annotations

import csv
import json
import math
import runpy
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.conftest import RUNNER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

DATASETS = RUNNER / "datasets"
NAME = "r-gbm"
MODEL = RUNNER / "model_definitions" / NAME


def hyperparameters() -> dict[str, float]:
    """Return what the model is configured with."""
    found: dict[str, float] = json.loads((MODEL / "config.json").read_text())["hyperParameters"]
    return found


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file by column."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_sample_regenerates() -> None:
    """The script gives the committed files, byte for byte."""
    samples = runpy.run_path(str(DATASETS / "make_gbm_sample.py"))["samples"]()

    assert {"gbm-train.csv", "gbm-test.csv"} == samples.keys()
    for name, text in samples.items():
        assert (DATASETS / name).read_bytes() == text.encode("ascii")


@pytest.mark.parametrize(("name", "count"), [("gbm-train.csv", 1000), ("gbm-test.csv", 500)])
def test_what_is_missing(name: str, count: int) -> None:
    """A tenth of X1 and three tenths of X3 are missing, and nothing else."""
    rows = read_rows(DATASETS / name)

    missing = {key: sum(row[key] == "" for row in rows) for key in rows[0]}
    assert count == len(rows)
    assert {"X1": count // 10, "X3": 3 * count // 10} == {k: n for k, n in missing.items() if n}


def test_the_held_out_rows_are_others() -> None:
    """No row is there to train and to test."""
    train, test = ({tuple(row.values()) for row in read_rows(DATASETS / f"gbm-{part}.csv")}
                   for part in ("train", "test"))  # fmt: skip

    assert set() == train & test


def test_the_sample_is_labelled() -> None:
    """The README of the data says of both files, on their line, that they are synthetic."""
    lines = (DATASETS / "README.md").read_text(encoding="utf-8").splitlines()

    assert any("`gbm-train.csv`" in line and "`gbm-test.csv`" in line and "**Synthetic.**" in line
               for line in lines)  # fmt: skip


def test_hyperparameters_are_described() -> None:
    """The README has a line for each hyperparameter with its default."""
    readme = (MODEL / "README.md").read_text(encoding="utf-8")

    expected = [f"| `{name}` | {value} |" for name, value in hyperparameters().items()]
    assert [] == [line for line in expected if line not in readme]


def test_the_request_has_the_columns_of_the_data() -> None:
    """The sample request names the features in the order of the data."""
    request = json.loads((MODEL / "samples/data.json").read_text())["data"]

    assert list(read_rows(DATASETS / "gbm-test.csv")[0])[1:] == request["names"]
    assert {len(request["names"])} == {len(row) for row in request["ndarray"]}


def add_gbm(repository: Repository) -> None:
    """Copy the model with its data and lock."""
    shutil.copytree(MODEL, repository.path / "model_definitions" / NAME)
    repository.write(f"envs/locks/{NAME}.txt", (RUNNER / f"envs/locks/{NAME}.txt").read_text())
    for part in ("train", "test"):
        name = f"datasets/gbm-{part}.csv"
        repository.write(name, (RUNNER / name).read_text())


@pytest.mark.r
def test_metrics_are_those_of_its_predictions(repository: Repository) -> None:
    """RMSE, MAE and R2 of the predictions, worked out here, are those that R measured."""
    add_gbm(repository)

    done = repository.doit(f"evaluate:{NAME}", f"score:{NAME}")

    assert 0 == done.returncode, done.stdout
    known = [float(row["Y"]) for row in read_rows(DATASETS / "gbm-test.csv")]
    scored = read_rows(repository.path / f"build/models/{NAME}/score/predictions.csv")
    assert [str(n) for n in range(1, 501)] == [row["row"] for row in scored]
    errors = [y - float(row["prediction"]) for y, row in zip(known, scored, strict=True)]
    squares = math.fsum(error * error for error in errors)
    mean = math.fsum(known) / len(known)
    expected = {
        "rmse": math.sqrt(squares / len(known)),
        "mae": math.fsum(map(abs, errors)) / len(known),
        "r2": 1 - squares / math.fsum((y - mean) ** 2 for y in known),
        "rows": 500,
    }
    measured = repository.json(f"build/models/{NAME}/evaluate/metrics.json")["metrics"]
    assert expected == pytest.approx(measured, rel=1e-12)
    assert measured["r2"] > 0.6
    log = repository.read(f"build/models/{NAME}/train/run.log")
    kept = int(log.partition("Kept ")[2].split(" ")[0])
    assert 100 < kept < hyperparameters()["n.trees"]


@pytest.mark.r
def test_training_repeats_to_the_byte(repository: Repository) -> None:
    """Two trainings leave the same file."""
    add_gbm(repository)

    done = repository.doit(f"train:{NAME}", "--twice")

    assert "reproducible to the byte" in done.stdout

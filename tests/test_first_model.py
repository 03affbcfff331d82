"""The model of this repository, built for real: its packages come from the index."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import RUNNER

if TYPE_CHECKING:
    from tests.conftest import Repository

MODEL = "python-xgboost-diabetes"

pytestmark = pytest.mark.python


def real_data_at_hand() -> bool:
    """Return whether a mirror holds the real data: its licence keeps it out of this repository."""
    folders = os.environ.get("DATASET_MIRROR", "").split(os.pathsep)
    return any((Path(f) / "pima-indians-diabetes.csv").is_file() for f in folders if f)


DATASETS = ["", "pima"] if real_data_at_hand() else [""]


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda name: name or "sample")
def test_trains_evaluates_and_scores(repository: Repository, dataset: str) -> None:
    """The held-out accuracy is what such a model reaches, and predictions cover every row."""
    for folder in ("datasets", f"model_definitions/{MODEL}", "envs"):
        shutil.copytree(RUNNER / folder, repository.path / folder)
    option = ["--dataset", dataset] if dataset else []
    variant = f"{MODEL}@{dataset}" if dataset else MODEL

    done = repository.doit(f"evaluate:{MODEL}", f"score:{MODEL}", *option)

    assert 0 == done.returncode, done.stdout + done.stderr
    metrics = repository.json(f"build/models/{variant}/evaluate/metrics.json")["metrics"]
    assert 154 == metrics["rows"]
    assert 0.7 <= metrics["accuracy"] < 0.95
    rows = repository.read(f"build/models/{variant}/score/predictions.csv").splitlines()
    assert 768 + 1 == len(rows)


def test_training_is_reproducible(repository: Repository) -> None:
    """Two trainings make the same bytes."""
    for folder in ("datasets", f"model_definitions/{MODEL}", "envs"):
        shutil.copytree(RUNNER / folder, repository.path / folder)

    done = repository.doit(f"train:{MODEL}", "--twice")

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "reproducible to the byte" in done.stdout

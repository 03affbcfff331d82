"""What `model_runtime` has to tell progress with: XGBoost's callback, and a loop's."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import RUNNER, Repository, ask

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "python-xgboost-diabetes"
XGBOOST = (RUNNER / "tests/xgboost_reference.py").read_text()

LOOP = """
import json, sys
from model_runtime import progress
kind, pause = sys.argv[1:]
progress.PAUSE_SECONDS = float(pause)
told = []
def handler(**values):
    if kind == "broken": raise RuntimeError
    told.append(values)
items = (n for n in (5, 6, 7)) if kind == "generator" else [5, 6, 7]
seen = []
for item in progress.track(items, handler, score=lambda: sum(seen)):
    seen.append(item)
print(json.dumps([seen, told]))
"""


@pytest.fixture(scope="module", name="found")
def train_with_callbacks(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> dict[str, Any]:
    """Return what the callback does where the model runs that uses XGBoost, by question."""
    repository = Repository(tmp_path_factory.mktemp("xgboost"), cache)
    for folder in ("datasets", "envs", f"model_definitions/{MODEL}"):
        shutil.copytree(RUNNER / folder, repository.path / folder)
    done = repository.doit(f"train:{MODEL}")
    assert 0 == done.returncode, done.stdout + done.stderr
    record = repository.json(f"build/models/{MODEL}/train/run.json")
    return dict(ask(f"{record['environment']['folder']}/bin/python", XGBOOST, cwd=repository.path))


@pytest.mark.python
def test_xgboost_tells_of_rounds(found: dict[str, Any]) -> None:
    """Rounds count from 1 to their total; the score is the last metric of the last set."""
    trained = found["trained"]

    first, last = trained["told"][0], trained["told"][-1]
    assert {"iter": 1, "epoc": 1, "iters": 5} == {k: first[k] for k in ("iter", "epoc", "iters")}
    assert {"iter": 5, "epoc": 5, "iters": 5} == {k: last[k] for k in ("iter", "epoc", "iters")}
    assert trained["history"]["validation_1"]["logloss"][-1] == last["score"]


@pytest.mark.python
def test_xgboost_without_evaluation(found: dict[str, Any]) -> None:
    """Nothing is measured, so that there is no score; without a total there is none."""
    expected = [{"iter": done, "epoc": done} for done in (1, 2, 3, 4, 5)]

    assert expected == found["plain"]["told"]


@pytest.mark.python
def test_xgboost_cross_validation(found: dict[str, Any]) -> None:
    """The score is the mean over the folds."""
    folds = found["folds"]

    assert folds["history"]["mean"] == pytest.approx(folds["told"][0]["score"])


@pytest.mark.python
def test_an_estimator_with_the_callback_is_pickled(found: dict[str, Any]) -> None:
    """The copy predicts the same and tells nobody anything."""
    pickled = found["pickled"]

    assert pickled["before"] == pickled["after"]
    assert [] == pickled["told"]


@pytest.mark.python
def test_xgboost_with_a_broken_handler(found: dict[str, Any]) -> None:
    """The training goes on to its end."""
    assert 5 == found["broken"]["rounds"]


@pytest.mark.python
def test_xgboost_goes_on_from_a_checkpoint(found: dict[str, Any]) -> None:
    """Trees that were saved after three of five rounds become those of one whole training."""
    resumed = found["resumed"]

    assert 3 == resumed["rounds"]
    assert resumed["in two"] == pytest.approx(resumed["at once"])


def told(*done: int) -> list[dict[str, int]]:
    """Return the messages after so many items of three, whose score is the sum of what was seen."""
    return [{"iter": n, "epoc": n, "iters": 3, "score": sum((5, 6, 7)[:n])} for n in done]


def test_a_loop() -> None:
    """Each item is told when the loop's body is through with it."""
    assert [[5, 6, 7], told(1, 2, 3)] == ask(sys.executable, LOOP, "list", "0")


def test_a_quick_loop() -> None:
    """Within the pause between messages only the first item and the last are told."""
    assert [[5, 6, 7], told(1, 3)] == ask(sys.executable, LOOP, "list", "inf")


def test_a_loop_without_a_length() -> None:
    """There is no total, and so no last item to be told of."""
    assert [[5, 6, 7], [{"iter": 1, "epoc": 1, "score": 5}]] == ask(
        sys.executable, LOOP, "generator", "inf"
    )


def test_a_loop_with_a_broken_handler() -> None:
    """The loop runs to its end."""
    assert [[5, 6, 7], []] == ask(sys.executable, LOOP, "broken", "0")

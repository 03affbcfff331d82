"""Scorers for tests: those of trained models, and those of tiny models in SQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.conftest import RUNNER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

PROGRAM = str(RUNNER / "tests/ask_scorer.py")
STAND_IN = str(RUNNER / "tests/teradata_stand_in")

# Starts the program as a worker is started: with the environment, artefacts and arguments of a
# trained model.
_DRIVER = """
import json, os, subprocess, sys
from dataclasses import replace
from tasks import generators, launch, plan, preparation, records, runs
from tasks.environments import build
from tasks.state import open_state
name, program, answers, more = *sys.argv[1:4], json.loads(sys.argv[4])
state = open_state()
step = preparation.read_again(plan.Step(plan.find_model(name, generators.models()), "score"), state)
trained = records.read(replace(step, name="train").folder, state.files)
environment = build.ensure(step.model, state, print)
with runs.fresh_run(step) as run:
    launch.furnish(run, step, trained)
    path = os.path.abspath(f"{run.folder}/asked.json")
    command = launch.command_for((program, path, answers), step, environment, run)
    request = {**launch.request(step, run, trained.key[:12]), "trusted": command.trusted, **more}
    with open(path, "w") as file:
        json.dump([request], file)
    done = subprocess.run(command.words, cwd=run.work, env=command.variables)
sys.exit(done.returncode)
"""


def ask_trained(
    repository: Repository, name: str, asks: list[Any], sample: dict[str, Any] | None = None
) -> Any:  # noqa: ANN401 - JSON is any value
    """Return the answers of a model that has been trained in a repository."""
    answers = repository.path / "answers.json"
    more = json.dumps({"asks": asks, "sample": sample})
    variables = repository.variables(PYTHONPATH=str(RUNNER))
    words = [sys.executable, "-c", _DRIVER, name, PROGRAM, str(answers), more]
    return _answers(words, repository.path, variables, answers)[0]


def tiny(
    folder: Path, data_conf: dict[str, Any], asks: list[Any], **more: object
) -> dict[str, Any]:
    """Return what a scorer is given for a model in SQL whose modules are in a folder."""
    ids = dict.fromkeys(("model_id", "model_version", "project_id", "job_id"), "x")
    conf = {"data_conf": data_conf, "model_conf": more.pop("conf", {})}
    return {
        "step": "score", "engine": "sql", "root": str(folder), "seed": 0, "trusted": [],
        "modules": ["scoring"], "arguments": {**conf, "model_table": "model", **ids},
        "asks": asks, **more,
    }  # fmt: skip


def ask_sql(python: str, folder: Path, *requests: dict[str, Any], stand_in: bool = False) -> Any:  # noqa: ANN401 - JSON is any value
    """Return the answers of models in SQL, whose artefacts are in a folder.

    `stand_in` puts DuckDB in the place of a Teradata.
    """
    asked, answers = folder / "asked.json", folder / "answers.json"
    asked.write_text(json.dumps(requests))
    path = {"PYTHONPATH": STAND_IN} if stand_in else {}
    variables = {**os.environ, "MODEL_SCRATCH": str(folder), **path}
    return _answers([python, PROGRAM, str(asked), str(answers)], folder, variables, answers)


def _answers(words: list[str], cwd: Path, variables: dict[str, str], answers: Path) -> Any:  # noqa: ANN401
    done = subprocess.run(
        words, cwd=cwd, env=variables, capture_output=True, text=True, check=False, timeout=300
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return json.loads(answers.read_text())

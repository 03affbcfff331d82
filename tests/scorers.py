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

# Starts the program as workers are started: with the environments, artefacts and arguments of
# trained models.
_DRIVER = """
import json, os, subprocess, sys
from dataclasses import replace
from tasks import furnishing, generators, launch, plan, preparation, records, runs
from tasks.environments import build
from tasks.state import open_state
program, asked = sys.argv[1], json.loads(sys.argv[2])
state, found = open_state(), {}
for name, more in asked.items():
    model = plan.find_model(name, generators.models())
    step = preparation.read_again(plan.Step(model, "score"), state)
    trained = records.read(replace(step, name="train").folder, state.files)
    environment = build.ensure(step.model, state, print, print)
    with runs.fresh_run(step) as run:
        furnishing.furnish(run, step, trained)
        paths = [os.path.abspath(f"{run.folder}/{one}.json") for one in ("asked", "answers")]
        command = launch.command_for((program, *paths), step, environment, run)
        request = launch.request(step, run, trained.key[:12])
        with open(paths[0], "w") as file:
            json.dump([{**request, "trusted": command.trusted, **more}], file)
        subprocess.run(command.words, cwd=run.work, env=command.variables, check=True)
        with open(paths[1]) as file:
            found[name] = json.load(file)[0]
with open("answers.json", "w") as file:
    json.dump(found, file)
"""


def ask_trained(repository: Repository, asked: dict[str, dict[str, Any]]) -> Any:  # noqa: ANN401 - JSON is any value
    """Return the answers of trained models by name; `asked` has for each `asks` and a `sample`."""
    variables = repository.variables(PYTHONPATH=str(RUNNER))
    words = [sys.executable, "-c", _DRIVER, PROGRAM, json.dumps(asked)]
    return _answers(words, repository.path, variables, repository.path / "answers.json")


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

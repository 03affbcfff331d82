"""docs/ci.md: its workflows are whole, and the commands in them do what they are there for."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tasks.evaluation import FOLDER, NAMES
from tasks.matrix import combinations
from tests.conftest import RUNNER

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (RUNNER / "docs/ci.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"(?ms)^`([^`\n]+)`\n\n```yaml\n(.*?)^```$", PAGE))
GITHUB: dict[str, Any] = yaml.safe_load(BLOCKS[".github/workflows/models.yml"])
GITLAB: dict[str, Any] = yaml.safe_load(BLOCKS[".gitlab-ci.yml"])
OF_GITLAB = {"default", "workflow", "variables"}
JOBS = {name: job for name, job in GITLAB.items() if name not in OF_GITLAB}
SESSIONS = [f"framework({one.name})" for one in combinations()]


def scripts() -> list[str]:
    """Return every script of both."""
    steps = [step for job in GITHUB["jobs"].values() for step in job["steps"]]
    found = [step["run"] for step in steps if "run" in step]
    found += [line for job in JOBS.values() for line in job.get("script", ())]
    return [*found, *GITLAB["default"]["before_script"]]


def run(script: str, folder: Path, **variables: str) -> str:
    """Run a script as a shell of CI does; its `./bootstrap nox` is nox as it is here."""
    words = shlex.join([sys.executable, "-m", "nox", "-f", str(RUNNER / "noxfile.py")])
    front = folder / "bootstrap"
    front.write_text(f'#!/bin/sh\nshift\nexec {words} "$@"\n')
    front.chmod(0o755)
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder, env={"PATH": os.environ["PATH"], **variables},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", scripts())
def test_scripts_can_be_read(script: str) -> None:
    """A shell understands every script, and nothing that an event brings is pasted into one."""
    done = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    assert "${{" not in script


def test_jobs_need_jobs() -> None:
    """What a job needs is a job, and what is read of it is what it gives."""
    jobs = GITHUB["jobs"]
    needed = [job["needs"] for job in jobs.values() if "needs" in job]
    assert ["matrix"] == needed
    read = jobs["frameworks"]["strategy"]["matrix"]["session"]
    assert "${{ fromJSON(needs.matrix.outputs.sessions) }}" == read
    assert {"sessions": "${{ steps.list.outputs.sessions }}"} == jobs["matrix"]["outputs"]

    names = [
        n["job"] if isinstance(n, dict) else n for j in JOBS.values() for n in j.get("needs", ())
    ]
    assert ["evaluate", "matrix"] == names


def test_sessions_and_reports_exist(tmp_path: Path) -> None:
    """Every session that is named is one of nox's, and every report is one that is written."""
    text = "\n".join([PAGE, *scripts()])
    named = {
        word for words in re.findall(r"nox -s ((?:[a-z]+ ?)+)", text) for word in words.split()
    }
    reports = set(re.findall(rf"{FOLDER}/([\w.]+)", PAGE))

    assert {"lint", "types", "tests", "evaluate", "framework"} == named
    listed = json.loads(run(f"./bootstrap nox --list --json -s {' '.join(named)}", tmp_path))
    assert named == {one["name"] for one in listed} - {"tools"}
    assert {"evaluate.md", "evaluate.xml"} == reports <= set(NAMES)


def test_the_matrix_of_github(tmp_path: Path) -> None:
    """The command writes every combination of versions as the list that `fromJSON` reads."""
    (step,) = [one for one in GITHUB["jobs"]["matrix"]["steps"] if one.get("id") == "list"]
    output = tmp_path / "output"

    run(step["run"], tmp_path, GITHUB_OUTPUT=str(output))

    name, _, value = output.read_text().partition("=")
    assert "sessions" == name
    assert 1 == value.count("\n")
    assert SESSIONS == json.loads(value)


def test_the_matrix_of_gitlab(tmp_path: Path) -> None:
    """The command writes a pipeline with a job for every combination, which runs just that."""
    (script,) = JOBS["matrix"]["script"]

    run(script, tmp_path)

    (artefact,) = JOBS["matrix"]["artifacts"]["paths"]
    assert artefact == JOBS["frameworks"]["trigger"]["include"][0]["artifact"]
    pipeline = yaml.safe_load((tmp_path / artefact).read_text())
    default = pipeline.pop("default")
    assert GITLAB["default"]["image"] == default["image"]
    assert GITLAB["default"]["before_script"] == default["before_script"][:2]
    assert {name: [f'./bootstrap nox -s "{name}"'] for name in SESSIONS} == {
        name: job["script"] for name, job in pipeline.items()
    }


def test_a_session_of_the_matrix_is_found(tmp_path: Path) -> None:
    """What the matrix says is what nox takes."""
    for name in (SESSIONS[0], SESSIONS[-1]):
        listed = json.loads(
            run('./bootstrap nox --list --json -s "$SESSION"', tmp_path, SESSION=name)
        )
        assert name in [one["session"] for one in listed]

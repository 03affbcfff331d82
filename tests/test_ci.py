"""docs/ci.md: its workflows are whole, and the commands in them do what they are there for."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tasks.evaluation import FOLDER, NAMES
from tasks.matrix import combinations
from tests.conftest import RUNNER
from tests.versions import GOOD, NOBODY, Versioned, versioned

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

PAGE = (RUNNER / "docs/ci.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"(?ms)^`([^`\n]+)`\n\n```yaml\n(.*?)^```$", PAGE))
GITHUB: dict[str, Any] = yaml.safe_load(BLOCKS[".github/workflows/models.yml"])
GITLAB: dict[str, Any] = yaml.safe_load(BLOCKS[".gitlab-ci.yml"])
AFFECTED: dict[str, Any] = yaml.safe_load(BLOCKS[".github/workflows/affected.yml"])
AFFECTED_GITLAB: dict[str, Any] = yaml.safe_load(BLOCKS["affected.gitlab-ci.yml"])
OF_GITLAB = {"default", "workflow", "variables"}
JOBS = {name: job for name, job in GITLAB.items() if name not in OF_GITLAB}
SESSIONS = [f"framework({one.name})" for one in combinations()]


def scripts() -> list[str]:
    """Return every script of both."""
    jobs = [*GITHUB["jobs"].values(), *AFFECTED["jobs"].values()]
    found = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    listed = [*JOBS.values(), AFFECTED_GITLAB["affected"]]
    found += [line for job in listed for line in job.get("script", ())]
    return [*found, *GITLAB["default"]["before_script"]]


def run(script: str, folder: Path, **variables: str) -> str:
    """Run a script as a shell of CI does; its `./bootstrap nox` and `doit` are those from here."""
    nox = shlex.join([sys.executable, "-m", "nox", "-f", str(RUNNER / "noxfile.py")])
    doit, dodo = shlex.join([sys.executable, "-m", "doit"]), shlex.quote(str(RUNNER / "dodo.py"))
    front = folder / "bootstrap"
    front.write_text(
        "#!/bin/sh\nprogram=$1; shift\n"
        f'[ $program = doit ] || exec {nox} "$@"\n'
        f"case $1 in affected|compare) command=$1; shift;; *) command=run;; esac\n"
        f'exec {doit} $command -f {dodo} -d . "$@"\n'
    )
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


def test_jobs_for_affected_models() -> None:
    """What a job of the matrix is told are keys of an entry, and later jobs need those before."""
    jobs = AFFECTED["jobs"]
    needed = {name: job["needs"] for name, job in jobs.items() if "needs" in job}
    assert {"models": "affected", "compare": ["affected", "models"]} == needed
    models = "fromJSON(needs.affected.outputs.models)"
    assert f"${{{{ {models} }}}}" == jobs["models"]["strategy"]["matrix"]
    assert f"{models}.include[0] != null" == jobs["models"]["if"]
    assert {"models": "${{ steps.list.outputs.models }}"} == jobs["affected"]["outputs"]
    text = BLOCKS[".github/workflows/affected.yml"]
    assert {"model", "runner", "environment", "tasks"} == set(re.findall(r"matrix\.(\w+)", text))

    trigger = AFFECTED_GITLAB["models"]["trigger"]["include"][0]
    assert {"artifact": "models.yml", "job": "affected"} == trigger
    assert ["models.yml"] == AFFECTED_GITLAB["affected"]["artifacts"]["paths"]
    assert GITLAB["default"] == AFFECTED_GITLAB["default"]


@pytest.fixture(name="clone")
def a_clone(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Versioned:
    """Return a repository of two models in which one has a commit and an odd name."""
    for name, value in {**NOBODY, "MODEL_CACHE": str(repository.cache)}.items():
        monkeypatch.setenv(name, value)
    clone = versioned(repository)
    clone.add(GOOD, "it's new")
    path = "model_definitions/it's new/model.json"
    clone.write(path, {**clone.json(path), "automation": {"runner": "large"}})
    return clone


def test_affected_models_on_github(clone: Versioned) -> None:
    """The scripts of the jobs list the models, build what an entry says, and compare."""
    steps = {
        name: [step["run"] for step in job["steps"] if "run" in step]
        for name, job in AFFECTED["jobs"].items()
    }
    given = {**os.environ, "BASE": "HEAD", "GITHUB_OUTPUT": str(clone.path.parent / "output")}
    run(steps["affected"][0], clone.path, **given)

    name, _, value = (clone.path.parent / "output").read_text().partition("=")
    assert ("models", 1) == (name, value.count("\n"))
    (entry,) = json.loads(value)["include"]
    assert ("it's new", "large") == (entry["model"], entry["runner"])

    begin, build, keep = steps["models"]
    run(begin, clone.path, **given)
    run(build, clone.path, TASKS=entry["tasks"], **given)
    assert clone.json("build/models/it's new/evaluate/metrics.json")
    (clone.path / ".cache/store/kept").write_text("1")
    run(keep, clone.path, **given)
    store = clone.path / ".cache/store"
    (clone.path / ".cache/added").mkdir()
    shutil.move(clone.path / "store.tgz", clone.path / ".cache/added/store.tgz")
    shutil.rmtree(store)
    unpack, compare, _ = steps["compare"]
    run(unpack, clone.path, **given)
    assert "1" == (store / "kept").read_text()
    run(compare, clone.path, GITHUB_STEP_SUMMARY=str(clone.path.parent / "summary"), **given)
    said = (clone.path / "compare.md").read_text()
    assert said == (clone.path.parent / "summary").read_text()
    assert "| `it's new` | metric | `accuracy` |  | 0.900 |" in said


def test_affected_models_on_gitlab(clone: Versioned) -> None:
    """The command writes a pipeline whose jobs build the models; with none there is one job."""
    script = "\n".join(AFFECTED_GITLAB["affected"]["script"])
    given = {**os.environ, "CI_COMMIT_BEFORE_SHA": clone.git("rev-parse", "HEAD")}
    run(script, clone.path, **given)

    pipeline = yaml.safe_load((clone.path / "models.yml").read_text())
    job, compare = pipeline["it's new"], pipeline["compare"]
    assert ["large"] == job["tags"]
    assert {"default", "variables", "it's new", "compare"} == pipeline.keys()
    assert GITLAB["default"]["before_script"] == pipeline["default"]["before_script"][:2]
    run("\n".join([*pipeline["default"]["before_script"][2:], *job["script"]]), clone.path, **given)
    assert clone.json("build/models/it's new/evaluate/metrics.json")
    (clone.path / ".cache/store/kept").write_text("1")
    run(job["after_script"][0], clone.path, CI_JOB_ID="7", **given)
    assert (clone.path / "store-7.tgz").exists()
    run("\n".join(compare["script"]), clone.path, **given)
    assert "0.900" in (clone.path / compare["artifacts"]["paths"][0]).read_text()

    clone.commit()
    given["CI_MERGE_REQUEST_DIFF_BASE_SHA"] = clone.git("rev-parse", "HEAD")
    run(script, clone.path, **given)
    assert "nothing to build" in yaml.safe_load((clone.path / "models.yml").read_text())


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

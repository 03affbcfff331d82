"""docs/adding-a-framework.md is followed to the letter, in a copy of this repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import RUNNER, Repository

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (RUNNER / "docs/adding-a-framework.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?ms)^((?:`[^`\n]+`(?:, )?)+)\n\n```\w*\n(.*?)^```$")
TABLE = "tasks/frameworks.py"
MODEL = "awk-line"


def blocks() -> dict[str, str]:
    """Return what the page puts into files, by path."""
    return {
        path: text for heads, text in BLOCK.findall(PAGE) for path in re.findall("`(.*?)`", heads)
    }


def replaced(text: str, old: str, new: str) -> str:
    """Return a text with one place of it replaced, which must be there."""
    assert 1 == text.count(old), old
    return text.replace(old, new)


def follow(folder: Path) -> None:
    """Do to a copy of this repository all that the page says."""
    for path, text in blocks().items():
        target = folder / path
        if path != TABLE:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            continue
        line, row = text.split("\n\n")
        table = target.read_text(encoding="utf-8")
        imports = "from tasks.languages import ("
        table = replaced(table, imports, f"{line}\n{imports}")
        head = "LANGUAGES: Mapping[str, Language] = {\n"
        target.write_text(replaced(table, head, head + row), encoding="utf-8")
    order = folder / "tasks/__init__.py"
    text = order.read_text(encoding="utf-8")
    order.write_text(replaced(text, "languages (syntax,", "languages (awk, syntax,"))


@pytest.fixture(scope="module", name="followed")
def copy_that_follows(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Repository:
    """Return a copy of this repository with what the page adds, and no other models."""
    folder = tmp_path_factory.mktemp("followed") / "repository"
    listed = ["git", "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(listed, cwd=RUNNER, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (RUNNER / name).is_file() and not name.startswith("model_definitions/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(RUNNER / name, folder / name)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    follow(folder)
    return Repository(folder, cache)


def run(repository: Repository, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python in the copy, whose own build system it finds first."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=repository.path,
        env=repository.variables(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def test_nox_builds_the_model_and_runs_its_test(followed: Repository) -> None:
    """`nox -t awk` trains, evaluates, scores and tests the model of the new framework."""
    done = run(followed, "nox", "-t", "awk")

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "framework(awk): success" in done.stderr
    assert "tests/test_model_awk.py ." in done.stdout
    place = f"build/matrix/awk/build/models/{MODEL}"
    metrics = followed.json(f"{place}/evaluate/metrics.json")["metrics"]
    assert 5 == metrics["rows"]
    assert 0 < metrics["rmse"] < 0.2
    record = followed.json(f"{place}/train/run.json")
    assert re.fullmatch("[0-9a-f]{64}", record["inputs"]["environment awk"])
    assert 5 == len(followed.read(f"{place}/score/predictions.csv").split())


def test_it_is_one_of_the_frameworks(followed: Repository) -> None:
    """It is listed, checked and offered like all others, as is the library for Python."""
    rows = json.loads(run(followed, "doit", "list", "--json").stdout)
    assert 0 == run(followed, "doit", "readme").returncode
    checked = run(followed, "doit", "check")
    listed = json.loads(run(followed, "nox", "-t", "lightgbm", "--list", "--json").stdout)

    assert [(MODEL, "awk")] == [(row["name"], row["framework"]) for row in rows]
    assert "1 model, of which 1 can run: 0 faults, 0 warnings\n" == checked.stdout
    assert 4 == len([one for one in listed if one["name"] == "framework"])


def test_the_order_of_modules_holds(followed: Repository) -> None:
    """The checks of this repository agree with what was added."""
    tests = ("tests/test_ladder.py", "tests/test_frameworks.py::test_every_framework_can_be_read")
    done = run(followed, "pytest", "-q", *tests)

    assert 0 == done.returncode, done.stdout
    done = run(followed, "mypy", "--exclude", "^tasks/runtime/", "tasks/frameworks.py")
    assert 0 == done.returncode, done.stdout
    new = [path for path in blocks() if path.endswith(".py") and path != TABLE]
    done = run(followed, "ruff", "check", *new)
    assert 0 == done.returncode, done.stdout


@pytest.mark.parametrize(
    ("training", "headline", "where"),
    [
        ("END { exit 3 }", "failed to train: awk: it said nothing", "training.awk"),
        ("END {\n  print (\n}\n", "failed to train: awk: ", "training.awk:"),
        (None, "cannot train: no `model_modules/training.awk`", ""),
    ],
)
def test_mistakes_are_told(
    followed: Repository, repository: Repository, training: str | None, headline: str, where: str
) -> None:
    """A program's mistake is in the headline, with its file; so is one that is not there."""
    folder = f"model_definitions/{MODEL}"
    shutil.copytree(followed.path / folder, repository.path / folder)
    program = repository.path / folder / "model_modules/training.awk"
    program.write_text(training) if training else program.unlink()

    done = run(followed, "doit", "-d", str(repository.path), f"train:{MODEL}")

    assert 1 == done.returncode
    assert f"Model `{MODEL}` {headline}" in done.stdout
    assert where in done.stdout


def test_awk_is_missing(followed: Repository, tmp_path: Path) -> None:
    """A machine without it is told what to install."""
    (tmp_path / "bin").mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            link = tmp_path / "bin" / name
            if name != "awk" and not os.path.lexists(link):
                link.symlink_to(f"{folder}/{name}")
    done = run(followed, "doit", f"train:{MODEL}", PATH=str(tmp_path / "bin"))

    assert 1 == done.returncode
    assert f"Model `{MODEL}` needs AWK, which is not installed" in done.stdout
    assert "hint: apt-get install mawk" in done.stdout

"""A remembered verdict that nothing is to do never outlives what it rests on."""

from __future__ import annotations

import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from tasks.fingerprint import Files
from tasks.looks import look

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repository

MODEL = "model_definitions/good-python"
NOTHING = "nothing to do: 2 steps are up to date\n"


def same_size_and_time(repository: Repository, folder: str = MODEL) -> None:
    """Edit a source so that only the time of the change tells."""
    path = repository.path / f"{folder}/model_modules/training.py"
    before = path.stat()
    path.write_text(path.read_text().replace("factor *", "factor +"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def other_result(repository: Repository) -> None:
    """Point the result at another folder."""
    link = repository.path / "build/models/good-python/train"
    shutil.copytree(link, repository.path / "build/results/other")
    (repository.path / "build/results/other/models/model.txt").write_text("0")
    link.unlink()
    link.symlink_to("../../results/other")


CHANGES: dict[str, Callable[[Repository], object]] = {
    "an edit that keeps size and time": same_size_and_time,
    "another result in its place": other_result,
    "a source that is new and imported by its name": lambda r: r.write(
        f"{MODEL}/model_modules/shared/__init__.py", "def total(path):\n    return 1.0\n"
    ),
    "a file beside the sources": lambda r: r.write(f"{MODEL}/model_modules/query.sql", "select"),
    "requirements where there were none": lambda r: r.write(
        f"{MODEL}/model_modules/requirements.txt", "./nowhere\n"
    ),
    "config.json gone": lambda r: (r.path / f"{MODEL}/config.json").unlink(),
    "a dataset gone": lambda r: (r.path / f"{MODEL}/datasets/train.json").unlink(),
    "data nearer to the model": lambda r: r.write(f"{MODEL}/data.csv", "5,6\n"),
    "an output gone": lambda r: (
        r.path / "build/models/good-python/evaluate/metrics.json"
    ).unlink(),
    "an output overwritten": lambda r: r.write("build/models/good-python/train/run.log", "?"),
    "the results gone": lambda r: shutil.rmtree(r.path / "build/results"),
}


@pytest.fixture(scope="module")
def trained(shared: Repository) -> Repository:
    """Return a repository in which all is up to date, and no verdict is remembered."""
    shared.add("good-python")
    shared.write("data.csv", (shared.path / f"{MODEL}/data.csv").read_text())
    (shared.path / f"{MODEL}/data.csv").unlink()
    assert shared.doit().returncode == 0
    with sqlite3.connect(shared.path / "build/state.db") as connection:
        connection.execute("delete from verdict")
    return shared


@pytest.fixture
def settled(trained: Repository, tmp_path: Path) -> Repository:
    """Return a repository of which it is remembered that nothing is to do."""
    repository = trained.copied(tmp_path / "repository")
    assert repository.doit().stdout == NOTHING
    with sqlite3.connect(repository.path / "build/state.db") as connection:
        assert connection.execute("select subject from verdict").fetchall() == [(MODEL,)]
    return repository


def test_what_is_remembered_is_said_again(settled: Repository) -> None:
    """Where nothing has changed, the verdict holds."""
    assert settled.doit().stdout == NOTHING


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_change_is_noticed(settled: Repository, change: Callable[[Repository], object]) -> None:
    """Whatever changes of what was looked at, or now is where nothing was, it is looked at anew."""
    change(settled)

    assert settled.doit().stdout != NOTHING


def test_a_trace_holds_what_was_not_there(tmp_path: Path) -> None:
    """A path that was looked for in vain is part of the conclusion."""
    missing, present = str(tmp_path / "missing"), tmp_path / "present"
    present.write_text("x")
    files = Files()

    with files.tracing() as trace:
        files.exists(missing)
        files.digest(str(present))

    assert trace.looks == {missing: None, str(present): look(str(present))}
    assert trace.complete


def test_a_link_makes_a_trace_incomplete(tmp_path: Path) -> None:
    """Where a link in a folder leads can change without the folder."""
    (tmp_path / "link").symlink_to("elsewhere")
    files = Files()

    with files.tracing() as trace:
        files.scan(str(tmp_path))

    assert not trace.complete

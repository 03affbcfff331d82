"""Git is asked of the repository that a command works in, whatever else variables name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks import acceptance, git, scaffold, templates, upkeep
from tasks.discover import read_model
from tasks.environments import days
from tasks.fingerprint import Files
from tests import versions

if TYPE_CHECKING:
    from tests.conftest import Repository


@pytest.fixture
def committed(here: Repository, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the commit of the working directory; a hook of another repository has started this."""
    for name, value in {**versions.NOBODY, "GIT_COMMITTER_DATE": "2019-08-31T12:00:00Z"}.items():
        monkeypatch.setenv(name, value)
    here.add("good-python")
    commits = []
    for folder, name in ((here.path, "Ada"), (here.path.parent / "other", "Eve")):
        versions.git("init", "--quiet", str(folder))
        versions.git("config", "user.name", name, at=folder)
        versions.git("add", "--all", at=folder)
        versions.git("commit", "--quiet", "--allow-empty", "--message", name, at=folder)
        commits.append(versions.git("rev-parse", "HEAD", at=folder))
    monkeypatch.setenv("GIT_DIR", f"{folder}/.git")
    monkeypatch.setenv("GIT_WORK_TREE", str(folder))
    monkeypatch.setenv("GIT_INDEX_FILE", f"{folder}/.git/index")
    monkeypatch.setenv("GIT_PREFIX", "x/")
    return commits[0]


def test_variables_of_a_hook(committed: str) -> None:
    """They lead nowhere else."""
    model = read_model("model_definitions/good-python", Files())

    assert committed == git.head()
    assert "Ada" == acceptance._who()
    assert "2019-08-31" == days.day_of(model, "commit")
    assert 0 == upkeep.unsaved(model)


@pytest.mark.usefixtures("committed")
def test_what_is_made_in_a_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """A history begins in the new folder; a template is cloned into its own, with its own index."""
    index = Path("../other/.git/index").read_bytes()
    templates._clone(Path.cwd().as_uri(), "../clone")
    Path("../new").mkdir()
    monkeypatch.chdir("../new")

    scaffold._start_history()

    assert Path(".git").is_dir()
    assert Path("../clone/model_definitions/good-python/model.json").is_file()
    assert index == Path("../other/.git/index").read_bytes()


@pytest.mark.usefixtures("here")
def test_outside_of_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no commit, and nothing is said of it; so it is where Git is not installed."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(Path.cwd().parent))
    assert git.head() is None

    monkeypatch.setenv("PATH", "")
    assert git.head() is None

"""A repository of models in Git, for tests of what is told of other commits."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.affected import since
from tasks.git import merge_base
from tasks.state import STATE_FILE, State
from tests.conftest import Repository

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = {
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org",
}  # fmt: skip
"""Variables under which Git knows nothing of who runs the tests."""

GOOD = "good-python"
FOLDER = f"model_definitions/{GOOD}"
TRAINING = f"{FOLDER}/model_modules/training.py"


def git(*words: str, at: Path | str = ".") -> str:
    """Run Git and return what it says."""
    command = ["git", "-c", "protocol.file.allow=always", *words]
    done = subprocess.run(
        command, cwd=at, env={**os.environ, **NOBODY}, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.removesuffix("\n")


@dataclass(frozen=True)
class Versioned(Repository):
    """A repository that is in Git."""

    def git(self, *words: str) -> str:
        """Run Git in the repository."""
        return git(*words, at=self.path)

    def commit(self, *paths: str) -> str:
        """Commit all that there is, or some paths; return the commit."""
        self.git("add", "--all", *(["--", *paths] if paths else []))
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change")
        return self.git("rev-parse", "HEAD")

    def edit(self, path: str, more: str = "EDITED = 1\n") -> None:
        """Append to a file."""
        with (self.path / path).open("a") as file:
            file.write(more)

    def told(self, *words: str, **variables: str) -> str:
        """Run a command that only tells, and return what it says."""
        done = self.doit(*words, **NOBODY, **variables)
        assert (0, "") == (done.returncode, done.stderr), done.stderr
        return done.stdout

    def affected(self, base: str = "HEAD") -> dict[str, dict[str, list[str]]]:
        """Return what `doit affected` tells, without the command: reasons by model and step."""
        here = os.getcwd()
        os.chdir(self.path)
        try:
            state = State(STATE_FILE)
            found = since(merge_base(base), state)
            state.save({})
        finally:
            os.chdir(here)
        gone = {f"{one.model.name} is gone: there is nothing to build": {} for one in found.gone}
        return {**{one.model.name: {**one.reasons} for one in found.affected}, **gone}

    def told_affected(
        self, base: str = "HEAD", **variables: str
    ) -> dict[str, dict[str, list[str]]]:
        """Return what the command tells, in the same form."""
        found: dict[str, dict[str, list[str]]] = {}
        reasons: list[str] = []
        for line in self.told("affected", "--base", base, **variables).splitlines()[1:]:
            if line.startswith("  "):
                reasons.append(line.strip())
            elif line.endswith(" differs:"):
                step, _, model = line.removesuffix(" differs:").partition(":")
                reasons = found.setdefault(model, {})[step] = []
            else:
                found[line] = {}
        return found

    def trained(self, name: str, reason: str) -> dict[str, dict[str, list[str]]]:
        """Return what is told where training and evaluation differ for one reason."""
        return {name: {"train": [reason], "evaluate": [reason, f"train:{name} differs"]}}

    def matrix(self, base: str = "HEAD") -> list[dict[str, Any]]:
        """Return the entries of the matrix."""
        document = json.loads(self.told("affected", "--base", base, "--json"))
        assert ["include"] == list(document)
        return list(document["include"])


def begin(path: Path) -> None:
    """Make a repository of Git."""
    git("init", "--quiet", "--initial-branch=main", at=path)
    git("config", "commit.gpgsign", "false", at=path)


def versioned(repository: Repository) -> Versioned:
    """Return a repository with one model, committed."""
    found = Versioned(repository.path, repository.cache)
    found.write(".gitignore", "/build/\n")
    found.add(GOOD)
    begin(found.path)
    found.commit()
    return found

"""The build that is disturbed: one tiny model, from nothing or with an earlier result in place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.crash import interception
from tests.crash.kinds import kept, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repository
    from tests.crash.calls import Call

NOTHING = "nothing to do: 2 steps are up to date\n"
CIRCUMSTANCES = ("started", "seconds", "host", "sum", "usage")
"""What differs in the records of two runs that made the same."""

Results = dict[str, dict[str, str]]
"""What every published result holds: by `model/step`, then by path, a file's text."""

STARTS = ("first", "again")
"""Where a build begins: with nothing, or where an earlier result is to be replaced."""


@dataclass
class Subject:
    """A repository with one model, what was there before a build, and what is there after one."""

    repository: Repository
    saved: Path
    variables: dict[str, str] = field(default_factory=dict)
    before: Results = field(default_factory=dict)
    after: Results = field(default_factory=dict)
    calls: tuple[Call, ...] = ()

    def prepare(self, start: str) -> None:
        """Make what a build starts from, and see what an undisturbed one does."""
        self.repository.add("good-python")
        assert_done(self.repository)  # its environment is made now, whatever comes
        if start == "first":
            shutil.rmtree(self.repository.path / "build")
        else:
            shutil.copytree(self.repository.path / "build", self.saved, symlinks=True)
        self.before = results(self.repository)
        config = {"hyperParameters": {"factor": 3}}
        self.repository.write("model_definitions/good-python/config.json", config)
        self.reset()
        ran = self.build(lambda _: interception.PASS)
        assert 0 == ran.status, ran.said
        self.after, self.calls = results(self.repository), ran.calls
        self.assert_whole()

    def reset(self) -> None:
        """Put back what was there before the build."""
        build = self.repository.path / "build"
        shutil.rmtree(build, ignore_errors=True)
        if self.saved.exists():
            shutil.copytree(self.saved, build, symlinks=True)

    def build(self, decide: Callable[[Call], int]) -> interception.Ran:
        """Build from what is there, and decide about every call within the repository."""
        return interception.run(
            self.repository.command(),
            decide,
            cwd=self.repository.path,
            env=self.repository.variables(**self.variables),
            folders=[self.repository.path],
        )

    def assert_nothing_half_made(self) -> None:
        """Check that each result is all of the earlier or the new one, as its record says."""
        found = results(self.repository)
        for name, files in found.items():
            assert files in (self.before.get(name), self.after[name]), (name, files)
        assert self.before.keys() <= found.keys()

    def assert_all_made(self) -> None:
        """Check that the results are those of an undisturbed build."""
        assert self.after == results(self.repository)

    def assert_resumed(self) -> None:
        """Check that a plain `doit` makes what an undisturbed one made, and leaves nothing else."""
        said = assert_done(self.repository)
        assert "warning" not in said, said
        self.assert_all_made()
        self.assert_whole()

    def assert_whole(self) -> None:
        """Check that no litter is left, and that nothing is left to do."""
        assert_clean(self.repository)
        again = self.repository.doit()
        assert NOTHING == again.stdout, again.stdout + again.stderr
        assert "" == again.stderr


def assert_done(repository: Repository) -> str:
    """Check that a plain `doit` succeeds; return what it said."""
    done = repository.doit()
    said = done.stdout + done.stderr
    assert 0 == done.returncode, said
    assert "Traceback" not in said, said
    return said


def results(repository: Repository) -> Results:
    """Return all that is published, held against its own records."""
    top = repository.path / "build/models"
    links = {str(p.relative_to(top)): p for p in sorted(top.glob("*/*")) if p.is_symlink()}
    return {name: _held_against_its_record(folder) for name, folder in links.items()}


def _held_against_its_record(folder: Path) -> dict[str, str]:
    files = {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    record = json.loads(files.pop("run.json"))
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    assert record["outputs"] == digests, folder
    facts = {name: value for name, value in record.items() if name not in CIRCUMSTANCES}
    return {**files, "run.json": json.dumps(facts, sort_keys=True)}


def assert_clean(repository: Repository) -> None:
    """Check that there is no run, no result nobody points at, and no file that has no purpose."""
    build = repository.path / "build"
    links = [path for path in (build / "models").glob("*/*") if path.is_symlink()]
    assert {path.resolve().name for path in links} == set(os.listdir(build / "results"))
    assert [] == os.listdir(build / "runs")
    for path in kept(repository, cache=False):
        kind = kind_of(path)
        assert kind is not None, path
        assert not kind.passing, path

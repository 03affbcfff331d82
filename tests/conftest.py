"""What the tests share: a repository of tiny models, and the real doit run on it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks import frameworks, retries
from tasks.runs import hold
from tests.crash import amounts

if TYPE_CHECKING:
    from collections.abc import Mapping

# Whoever starts the tests in the background may have them ignore Ctrl-C, and all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Hundreds of runners are started: where this is set, each would compile anew all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

RUNNER = Path(__file__).parent.parent
GALLERY = Path(__file__).parent / "gallery"
TIMEOUT_SECONDS = 300

LONGEST = ("test_model_pyspark.py", "test_model_sentiment.py", "test_templates.py")
"""The files of tests that take minutes: with the last of them a processor would be left alone."""


@dataclass(frozen=True)
class Repository:
    """A repository of models in a temporary folder."""

    path: Path
    cache: Path

    def write(self, path: str, content: str | Mapping[str, Any]) -> Path:
        """Write a file, a mapping as JSON, and return its path."""
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
        return target

    def read(self, path: str) -> str:
        """Return a file's text."""
        return (self.path / path).read_text()

    def json(self, path: str) -> Any:  # noqa: ANN401 - JSON is any value
        """Return a JSON file's value."""
        return json.loads(self.read(path))

    def add(self, gallery: str, name: str = "") -> str:
        """Copy a model of the gallery into the repository, and return its name."""
        name = name or gallery
        shutil.copytree(GALLERY / gallery, self.path / "model_definitions" / name)
        return name

    def copied(self, path: Path) -> Repository:
        """Return a copy at a path that is not there yet: links and times are those of this one."""
        subprocess.run(["cp", "-a", self.path, path], check=True)
        return replace(self, path=path)

    def command(self, *words: str) -> list[str]:
        """Return the command line of doit for this repository."""
        place = ["-f", str(RUNNER / "dodo.py"), "-d", str(self.path)]
        named = words and words[0] in COMMANDS
        front = [words[0], *place] if named else place
        return [sys.executable, "-m", "doit", *front, *words[1 if named else 0 :]]

    def variables(self, **more: str) -> dict[str, str]:
        """Return the variables for doit: a cache of the tests' own, no colour."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DOIT_", "MODEL_"))}
        return {**kept, "MODEL_CACHE": str(self.cache), "NO_COLOR": "1", **more}

    def doit(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run doit to its end."""
        return subprocess.run(
            self.command(*words),
            env=self.variables(**variables),
            cwd=self.path,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start doit in a process group of its own."""
        return subprocess.Popen(
            self.command(*words),
            env=self.variables(**variables),
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def pytest_report_header() -> str:
    """Say how much the tests of crashes do, and by which seed: it repeats a failure."""
    return f"tests/crash: {'long' if amounts.LONG else 'short'} form, CRASH_SEED={amounts.SEED}"


def pytest_configure(config: pytest.Config) -> None:
    """Make a marker for each framework: for tests that `nox -t FRAMEWORK` runs on its versions."""
    for name in frameworks.names():
        config.addinivalue_line("markers", f"{name}: builds a model of this framework")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that all processors end at about the same time."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


COMMANDS = (
    *("accept", "list", "why", "check", "readme", "clean", "doctor", "forget", "info", "run"),
    *("ignore", "store", "gc", "verify", "affected", "compare", "serve", "resources", "help"),
)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache of environments and data that all tests share, on every processor."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    shared.mkdir(exist_ok=True)
    return shared


@pytest.fixture(scope="session")
def store(cache: Path) -> dict[str, str]:
    """Return the variables for a store of results that the tests share.

    It is filled by tests that train anyway, for those that need a trained model whoever trained it.
    """
    return {"MODEL_STORE": str(cache.with_name("store"))}


@pytest.fixture
def repository(tmp_path: Path, cache: Path) -> Repository:
    """Return an empty repository."""
    path = tmp_path / "repository"
    (path / "model_definitions").mkdir(parents=True)
    return Repository(path, cache)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Repository:
    """Return an empty repository for all tests of a file, which copy what is made in it."""
    path = tmp_path_factory.mktemp("shared") / "repository"
    (path / "model_definitions").mkdir(parents=True)
    return Repository(path, cache)


@pytest.fixture
def here(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Return an empty repository that steps can be run in without doit, or long pauses."""
    monkeypatch.setattr(retries, "pause", lambda _attempt: 0.05)
    monkeypatch.chdir(repository.path)
    monkeypatch.setenv("MODEL_CACHE", str(repository.cache))
    return repository


@pytest.fixture(scope="session")
def sql_python(cache: Path) -> str:
    """Return a Python with all that SQL models need, and scikit-learn to compare them with.

    It is made once, whichever processor needs it first.
    """
    folder = cache.parent / "sql"
    python = str(folder / "bin/python")
    packages = ["duckdb", "jinja2", "pandas", "sqlglot", "teradatasql", "scikit-learn>=1.5"]
    with hold(f"{folder}.held"):
        if not (folder / "made").exists():
            for words in (
                ["venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)],
                ["pip", "install", "--quiet", "--python", python, *packages],
            ):
                subprocess.run([sys.executable, "-m", "uv", *words], check=True)
            (folder / "made").touch()
    return python


def ask(python: str, program: str, *words: str, cwd: Path | None = None) -> Any:  # noqa: ANN401
    """Run a program that can import `model_runtime`, and return what it prints as JSON."""
    done = subprocess.run(
        [python, "-c", program, *words],
        cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(RUNNER / "tasks/runtime")},
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)

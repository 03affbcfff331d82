"""Which Python interpreters are found, and which of them a model gets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks import surroundings
from tasks.environments import interpreters
from tasks.environments.interpreters import Interpreter, allowed, installed, specifier
from tasks.environments.lock_file import Lock
from tasks.environments.locks import choose
from tasks.environments.requirements import Requirements
from tasks.errors import UserError
from tasks.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

OWN = os.path.realpath(sys.executable)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    """Return a state on a machine that has no Python but the runner's own."""
    for name in ("UV_PYTHON_SEARCH_PATH", "UV_PYTHON_INSTALL_DIR", "ASDF_DATA_DIR", "PYENV_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("MISE_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(surroundings, "USUAL_FOLDERS", ())
    monkeypatch.setattr(interpreters, "_ask", ask)
    return State(str(tmp_path / "state.db"))


def pretend(path: Path, version: str = "3.9.1", implementation: str = "CPython") -> Path:
    """Write a file that stands for an interpreter: what it would answer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([version, implementation, "x86_64"]))
    path.chmod(0o755)
    return path


def ask(path: str, really: Callable[[str], str] = interpreters._ask) -> str:
    """Return the answer of an interpreter, also of one that we pretend."""
    text = Path(path).read_bytes()
    return text.decode() if text.startswith(b"[") else really(path)


def found(state: State) -> list[str]:
    """Return the paths of the interpreters that are found by another run."""
    interpreters._installed.cache_clear()
    return [one.path for one in installed(state)]


def test_the_runners_own_is_always_there(state: State) -> None:
    """Even where PATH has none: by its real path, with what it says of itself."""
    (one,) = installed(state)

    assert OWN == one.path
    assert ".".join(map(str, sys.version_info[:3])) == one.version
    assert f"CPython {one.version} {os.uname().machine}" == one.description


def test_an_environment_on_the_path_stands_for_what_it_was_made_from(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner's own .venv/bin comes first on PATH; no environment is made from another."""
    subprocess.run([OWN, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    monkeypatch.setenv("PATH", str(tmp_path / "venv/bin"))

    assert [OWN] == found(state)


def test_an_environments_own_copy_is_none(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interpreter that was copied into an environment belongs to it."""
    pretend(tmp_path / "venv/bin/python3.9")
    (tmp_path / "venv/pyvenv.cfg").touch()
    monkeypatch.setenv("PATH", str(tmp_path / "venv/bin"))

    assert [OWN] == found(state)


def test_a_shim_is_none_and_what_lies_behind_it_is_found(state: State, tmp_path: Path) -> None:
    """A shim starts another Python in each folder, or none; pyenv's versions have their paths."""
    shim = tmp_path / "bin/python3.9"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.9: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    behind = pretend(tmp_path / "home/.pyenv/versions/3.9.1/bin/python3.9")

    assert [OWN, str(behind)] == found(state)


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("PYENV_ROOT", "versions/3.9.1/bin"),
        ("UV_PYTHON_INSTALL_DIR", "cpython-3.9.1-linux/bin"),
        ("ASDF_DATA_DIR", "installs/python/3.9.1/bin"),
        ("MISE_DATA_DIR", "installs/python/3.9.1/bin"),
        ("XDG_DATA_HOME", "uv/python/cpython-3.9.1-linux/bin"),
        ("UV_PYTHON_SEARCH_PATH", ""),
    ],
)
def test_interpreters_of_version_managers(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, place: str
) -> None:
    """They are found where the variables of their managers say."""
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    program = pretend(tmp_path / "elsewhere" / place / "python3.9")

    assert [OWN, str(program)] == found(state)


def test_those_of_the_system_are_found_whatever_path_says(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service or a cron job may have a short PATH; deadsnakes' Pythons are in `/usr/bin`."""
    program = pretend(tmp_path / "usr/bin/python3.9")
    monkeypatch.setattr(surroundings, "USUAL_FOLDERS", (str(program.parent),))

    assert [OWN, str(program)] == found(state)


def test_one_that_does_not_run_is_left_out_until_it_does(state: State, tmp_path: Path) -> None:
    """A failure may pass, so it is not remembered."""
    program = tmp_path / "bin/python3.9"
    shutil.copy(shutil.which("false", path=os.defpath) or "", program)
    before = found(state)
    pretend(program)

    assert [OWN] == before
    assert [OWN, str(program)] == found(state)


def test_an_answer_is_remembered_until_the_file_changes(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interpreter is asked once, and again after an upgrade."""
    program = pretend(tmp_path / "bin/python3.9", "3.9.1")
    asked: list[str] = []

    def count(path: str) -> str:
        asked.append(path)
        return ask(path)

    monkeypatch.setattr(interpreters, "_ask", count)
    found(state)
    found(state)

    assert sorted([OWN, str(program)]) == sorted(asked)

    pretend(program, "3.9.2")

    assert "3.9.2" in [one.version for one in installed(again(state))]
    assert sorted([OWN, str(program), str(program)]) == sorted(asked)


def again(state: State) -> State:
    """Return the state of another run."""
    interpreters._installed.cache_clear()
    return State(state.path)


def test_the_best_comes_first(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain CPython before others, final releases before the rest, then the newest."""
    versions = [("3.19.0a2", "CPython"), ("3.18.0", "CPythont"), ("3.17.1", "PyPy")]
    for version, implementation in [*versions, ("3.16.10", "CPython"), ("3.16.9", "CPython")]:
        minor = ".".join(version.split(".")[:2])
        pretend(tmp_path / f"versions/{version}/python{minor}", version, implementation)
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, sorted((tmp_path / "versions").iterdir()))))
    interpreters._installed.cache_clear()

    order = [one.version for one in installed(state) if one.path != OWN]

    assert ["3.16.10", "3.16.9", "3.19.0a2", "3.18.0", "3.17.1"] == order


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.11", ["3.11.7", "3.11.2"]),
        ("3.11.2", ["3.11.2"]),
        ("3.11.*", ["3.11.7", "3.11.2"]),
        ("3", ["3.13.0rc1", "3.12.1", "3.11.7", "3.11.2", "3.9.18"]),
        ("3.13.0rc1", ["3.13.0rc1"]),
        (">=3.10,<3.13", ["3.12.1", "3.11.7", "3.11.2"]),
        ("<3.10", ["3.9.18"]),
        ("==3.7.*", []),
    ],
)
def test_what_a_python_key_allows(text: str, expected: list[str]) -> None:
    """A version means all that begin so, anything else is PEP 440."""
    versions = ("3.13.0rc1", "3.12.1", "3.11.7", "3.11.2", "3.9.18")

    assert expected == [one.version for one in allowed(text, tuple(map(plain, versions)))]


def plain(version: str) -> Interpreter:
    """Return a CPython of a version."""
    return Interpreter(f"/python/{version}", version, "CPython", "x86_64")


def test_a_python_key_that_is_no_version() -> None:
    """The message shows both ways to write it."""
    with pytest.raises(UserError) as caught:
        specifier("banana")

    assert '`banana` is not a Python version\n\nhint: write "3.11" or ">=3.10,<3.13"' == str(
        caught.value
    )


@pytest.mark.parametrize(
    ("has", "lock", "python", "expected"),
    [
        (["3.13.0", "3.12.1", "3.11.7"], "3.12 (>=3.10)", ">=3.10", "3.12.1"),
        (["3.14.0", "3.13.0", "3.11.7"], "3.12 (>=3.12)", ">=3.8", "3.13.0"),
        (["3.14.0", "3.11.7"], "3.12 (>=3.10)", ">=3.10", "3.11.7"),
        (["3.11.7"], "3.12 (>=3.12)", ">=3.8", None),
        (["3.13.0"], "3.12 (>=3.10)", ">=3.10,<3.13", None),
    ],
    ids=["the same", "nearest above", "nearest below", "not for the lock", "not for the model"],
)
def test_a_lock_on_a_machine_with_other_pythons(
    monkeypatch: pytest.MonkeyPatch, has: list[str], lock: str, python: str, expected: str | None
) -> None:
    """The minor version that it was made with, else the nearest that it allows."""
    monkeypatch.setattr("tasks.environments.locks.installed", lambda _: tuple(map(plain, has)))
    minor, bound = lock.strip(")").split(" (")
    read = Lock("envs/locks/tiny.txt", "", minor, bound, "")

    chosen = choose(read, Requirements("requirements.txt", python), State(":memory:"))

    assert expected == (chosen and chosen.version)

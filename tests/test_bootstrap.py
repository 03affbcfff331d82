"""bootstrap: what it makes, what it mends, and what it says where it cannot go on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.conftest import RUNNER, TIMEOUT_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

# Stands in for Python, pip, uv, and for all that they install, so that no test needs an index.
STAND_IN = """#!/usr/bin/env bash
here=$(dirname "$0")
case "$*" in
  *'-m venv '*) mkdir -p "${@: -1}/bin"; cp "$0" "${@: -1}/bin/python" ;;
  *'-m pip '*) cp "$0" "$here/nox"; cp "$0" "$here/uv" ;;
  'pip install '*) cp "$0" "$here/doit" ;;
  *_base_executable*) echo "$0" ;;
  -I*) ;;
  *) echo "$(basename "$0") $*" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with nothing in it but what the environment is made from."""
    for name in ("bootstrap", "pyproject.toml", "requirements.txt"):
        (tmp_path / "checkout").mkdir(exist_ok=True)
        shutil.copy2(RUNNER / name, tmp_path / "checkout" / name)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(STAND_IN)
    (tmp_path / "bin/python3").chmod(0o755)
    return tmp_path / "checkout"


def run(checkout: Path, *words: str) -> tuple[int, str, str]:
    """Run it with the stand-in first on PATH; return status, what it answers and what it says."""
    done = subprocess.run(
        ["./bootstrap", *words], cwd=checkout, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": f"{checkout.parent}/bin:{os.environ['PATH']}"},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_ctrl_c(checkout: Path) -> None:
    """It is told in a line, while Python's own module makes the environment as well."""
    started = subprocess.Popen(
        ["./bootstrap", "true"], cwd=checkout, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    ends = time.monotonic() + TIMEOUT_SECONDS
    while not (checkout / ".venv/bin/python").exists() and time.monotonic() < ends:
        time.sleep(0.01)

    os.killpg(started.pid, signal.SIGINT)

    _, said = started.communicate(timeout=TIMEOUT_SECONDS)
    assert (130, "bootstrap: interrupted") == (started.returncode, said.splitlines()[-1])
    assert 2 == len(said.splitlines()), said


def test_a_damaged_environment(checkout: Path) -> None:
    """Where one of the project's own commands is gone, what brings it is done anew, and no more."""
    made = f"bootstrap: making .venv with {checkout.parent}/bin/python3\n"
    made += "bootstrap: installing the packages of requirements.txt\n"
    assert (0, "doit list\n", made) == run(checkout, "doit", "list")

    for name, said in (("doit", ""), ("nox", made)):
        (checkout / f".venv/bin/{name}").unlink()
        assert (0, f"{name} list\n", said) == run(checkout, name, "list")
        assert (0, f"{name} list\n", "") == run(checkout, name, "list")


def test_a_command_that_there_is_not(checkout: Path) -> None:
    """It is told, as is how doit's own commands are called; what is found by its path is run."""
    run(checkout, "true")
    hint = "it is neither in .venv/bin nor on PATH; doit's own are called as in"
    for name in ("list", "say", "./nowhere", "bootstrap"):
        said = f"bootstrap: there is no command {name}\n\nhint: {hint} `./bootstrap doit list`\n"
        assert (127, "", said) == run(checkout, name)

    assert 126 == run(checkout, "./pyproject.toml")[0]
    assert 0 == run(checkout, "./bootstrap", "true")[0]


def test_all_in_place(checkout: Path) -> None:
    """A second call takes no lock, where no model needs anything of the system either."""
    assert (0, "") == run(checkout, "true")[:2]
    (checkout / ".venv.lock").unlink()

    assert (0, "", "") == run(checkout, "true")
    assert not (checkout / ".venv.lock").exists()

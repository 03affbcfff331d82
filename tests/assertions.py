"""What the tests on real doit ask of a repository, in words of their own."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.conftest import Repository

GALLERY = Path(__file__).parent / "gallery"
WAIT_SECONDS = 60


def overlay(repository: Repository, gallery: str, name: str) -> None:
    """Put a model of the gallery, its modules alone or with more, over one of the repository's."""
    target = repository.path / "model_definitions" / name
    shutil.rmtree(target / "model_modules", ignore_errors=True)
    shutil.copytree(GALLERY / gallery, target, dirs_exist_ok=True)


def configure(repository: Repository, name: str, **hyperparameters: object) -> None:
    """Write the hyperparameters of a model."""
    content = {"hyperParameters": hyperparameters}
    repository.write(f"model_definitions/{name}/config.json", content)


def told(repository: Repository, done: subprocess.CompletedProcess[str]) -> str:
    """Return what a run said of its first failure, less times, places and markers below code."""
    text = done.stdout.replace(str(repository.path), "REPOSITORY")
    text = re.sub(r"(?m)^[ ~^]+\n", lambda match: "" if match[0].strip() else match[0], text)
    text = re.sub(r"(?m)(?<=peak memory  )\S+$", "SOME", text)
    found = re.search(r"(?ms)^\S+ FAILED .*?(?=\n\nstep|\n\S+ (?:started|ok))", text)
    assert found, done.stdout + done.stderr
    return re.sub(r"(FAILED) .*", r"\1", found[0], count=1)


def assert_works(repository: Repository, name: str, model: str) -> None:
    """Assert that doit works, leaves nothing of a run behind, and trained this."""
    done = repository.doit()
    assert done.returncode == 0, done.stdout + done.stderr
    assert trained(repository, name) == model
    assert os.listdir(repository.path / "build/runs") == []
    assert len(os.listdir(repository.path / "build/results")) == len(results(repository))
    assert not list(repository.path.glob("build/failed/*/*"))


def results(repository: Repository) -> dict[str, str]:
    """Return where each published result is."""
    folder = repository.path / "build/models"
    return {str(path.relative_to(folder)): os.readlink(path) for path in folder.glob("*/*")}


def trained(repository: Repository, name: str) -> str:
    """Return the model that training published."""
    return repository.read(f"build/models/{name}/train/models/model.txt")


def wait_until(condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> bool:
    """Wait until something holds; return False where it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def await_file(path: Path) -> str:
    """Return a file's text once it is there."""
    assert wait_until(path.exists), path
    return path.read_text()


def is_alive(pid: str) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def await_end(pid: str) -> None:
    """Return once a process has ended."""
    assert wait_until(lambda: not is_alive(pid)), pid

"""What a user, a model or the machine can do wrong: what is said, what stands, what works next."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:

    from tests.conftest import Repository

GALLERY = Path(__file__).parent / "gallery"
FAULTS = sorted(path.parent.name for path in GALLERY.glob("*/fault.txt"))
FAILED = 2  # doit's exit status where a step failed and another one could not run for it
LOG_BYTES = 10_000_000
WAIT_SECONDS = 60


def overlay(repository: Repository, gallery: str, name: str) -> None:
    """Put a model of the gallery, its modules alone or with more, over one of the repository's."""
    target = repository.path / "model_definitions" / name
    shutil.rmtree(target / "model_modules", ignore_errors=True)
    shutil.copytree(GALLERY / gallery, target, dirs_exist_ok=True)


def told(repository: Repository, done: subprocess.CompletedProcess[str]) -> str:
    """Return what a run said of its first failure, less times, places and markers below code."""
    text = done.stdout.replace(str(repository.path), "REPOSITORY")
    text = re.sub(r"(?m)^[ ~^]+\n", lambda match: "" if match[0].strip() else match[0], text)
    found = re.search(r"(?ms)^\S+ FAILED .*?(?=\n\nstep|\n\S+ (?:started|ok))", text)
    assert found, done.stdout + done.stderr
    return re.sub(r"(FAILED) .*", r"\1", found[0], count=1)


def mend(repository: Repository, name: str, factor: int) -> None:
    """Make a model a good one again, with another factor than before."""
    overlay(repository, "good-python", name)
    repository.write(
        f"model_definitions/{name}/config.json", {"hyperParameters": {"factor": factor}}
    )

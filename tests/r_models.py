"""Tiny R models for tests, in the environment of the R model of this repository."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import RUNNER

if TYPE_CHECKING:
    from tests.conftest import Repository

LOCK = RUNNER / "envs/locks/r-gbm.txt"


def add(repository: Repository, gallery: str) -> str:
    """Copy a model of the gallery, with a lock of what all R models need, and return its name."""
    name = repository.add(gallery)
    write_lock(repository, name)
    return name


def write_model(repository: Repository, name: str = "tiny", **sources: str) -> str:
    """Write a model with these sources (`training=...`), and return where they are."""
    folder = f"model_definitions/{name}"
    about = {"id": name, "name": name, "language": "R", "python": ">=3.10"}
    repository.write(f"{folder}/model.json", about)
    for module, text in sources.items():
        repository.write(f"{folder}/model_modules/{module}.R", text)
    write_lock(repository, name)
    return f"{folder}/model_modules"


def write_lock(repository: Repository, name: str) -> None:
    """Give a model that asks for no packages the pins of this repository's R model."""
    text = re.sub(r"(?m)^# R package: .*\n", "", LOCK.read_text())
    repository.write(f"envs/locks/{name}.txt", text)


def without_r(folder: Path) -> dict[str, str]:
    """Return the variables of a machine that has every program of this one but R."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*"):
            if program.name not in ("R", "Rscript") and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return {"PATH": str(folder)}


def r_with_library(folder: Path) -> tuple[dict[str, str], Path]:
    """Return the variables of a machine whose R has a library of the system's more, and that."""
    real = shutil.which("R")
    assert real, "these tests need R: ./bootstrap installs it"
    library = folder / "site-library"
    library.mkdir(parents=True)
    program = folder / "bin/R"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexport R_LIBS_SITE="{library}"\nexec "{real}" "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}, library


def build_package(folder: Path, name: str, version: str, *imports: str) -> Path:
    """Write a package of R whose one function tells its version, and return its folder."""
    package = folder / name
    (package / "R").mkdir(parents=True, exist_ok=True)
    fields = {
        "Package": name,
        "Version": version,
        "Title": "A Tiny Package",
        "Description": "For a test.",
        "License": "MIT",
        "Depends": "R (>= 3.5)",
    }
    fields |= {"Imports": ",\n    ".join(imports)} if imports else {}
    (package / "DESCRIPTION").write_text("".join(f"{k}: {v}\n" for k, v in fields.items()))
    (package / "NAMESPACE").write_text("export(version)\n")
    (package / "R/version.R").write_text(f'version <- function() "{name} {version}"\n')
    return package


def publish(repository: Path, *packages: Path) -> str:
    """Put packages into a repository as CRAN is one, and return its address for `R_REPOS`."""
    contrib = repository / "src/contrib"
    contrib.mkdir(parents=True, exist_ok=True)
    for package in packages:
        run_r("CMD", "build", "--no-manual", str(package), cwd=contrib)
    write = "tools::write_PACKAGES('.', type = 'source')"
    run_r("--vanilla", "--no-echo", "-e", write, cwd=contrib)
    return repository.as_uri()


def run_r(*words: str, cwd: Path) -> None:
    """Run R to its end."""
    subprocess.run(["R", *words], cwd=cwd, check=True, capture_output=True)

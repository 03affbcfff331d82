"""Packages of R: how requirements.R is read, and where what it names is taken from."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tasks.languages.r_home import description, needs
from tasks.languages.r_source import packages, read_source
from tests.r_models import build_package, publish, r_with_library, run_r, write_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

MODULES = "model_definitions/tiny/model_modules"
TELLS = 'train <- function(...) writeLines(tinystats::version(), "models/version.txt")\n'
TRAINED = "build/models/tiny/train/models/version.txt"
INPUTS = "build/models/tiny/train/run.json"

TABLE = {
    "library(gbm)": ["gbm"],
    "library('gbm', quietly = TRUE); require(jsonlite)": ["gbm", "jsonlite"],
    "if(!require(gbm)){install.packages('gbm')}": ["gbm"],
    'install.packages(c("a1", "b2"), repos = "https://example.invalid")': ["a1", "b2"],
    "install.packages(lib = 'here', pkgs = 'a1')": ["a1"],
    "requireNamespace('a1', quietly = TRUE)": ["a1"],
    "a1::run(b2:::hidden)": ["a1", "b2"],
    'wanted <- c("a1", "b2")\nfor (p in wanted) library(p, character.only = TRUE)': ["a1", "b2"],
    'invisible(lapply(c("a1", "b2"), library, character.only = TRUE))': ["a1", "b2"],
    'all <- c("a1")\nnew <- all[!(all %in% installed.packages()[, "Package"])]\n'
    "if (length(new)) install.packages(new)": ["a1"],
    'install.packages(setdiff(c("a1"), rownames(installed.packages())))': ["a1"],
    'remotes::install_version("a1", version = "2.1-8")': ["a1 2.1-8"],
    'devtools::install_version("a1", "2.1-8"); library(a1)': ["a1 2.1-8"],
    'devtools::install_github("owner/a1@branch")': ["a1"],
    "pacman::p_load(a1, 'b2')": ["a1", "b2"],
    "library(devtools); if (!require(remotes)) install.packages('remotes')": [],
    "# library(no)\nx <- 'library(no)'; y <- \"install.packages('no')\"": [],
    'z <- r"(library(no))"; w <- R"--[require(no)]--"': [],
    "x <- 'it\\'s'; library(a1) # isn't it": ["a1"],
    "library(": [],
    "require(a1": ["a1"],
    "library()\n`library`(a1)": ["a1"],
    "": [],
}


@pytest.mark.parametrize("source", TABLE)
def test_packages_are_read(source: str) -> None:
    """Every way in which packages are usually asked for, and none in comments and strings."""
    found = [f"{one.name} {one.version}".strip() for one in packages(source.encode())]

    assert TABLE[source] == found


def test_a_package_has_the_line_that_names_it_first() -> None:
    """Strings and comments over several lines count as lines."""
    source = b"x <- 'a\nb' # c\r\nlibrary(gbm)\nlibrary(gbm)\n"

    assert [("gbm", 3, "")] == packages(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("train <- function(...) 1", ([], ["train"])),
        ('score.batch = \\(x) 1\n"of text" <- function() 1', ([], ["of text", "score.batch"])),
        ("train <- function(x) {\n  inner <- function(y) y\n}", ([], ["train"])),
        ("# f <- function() 1\nx <- 'g <- function() 1'", ([], [])),
        ("source(\"model_modules/a.R\"); sys.source('b.R', e)", (["b.R", "model_modules/a.R"], [])),
        ("source(path)", (["*"], [])),
        ("lapply(files, source)", (["*"], [])),
        ('eval(parse("a.R"))', (["*"], [])),
        ('system("Rscript a.R")', (["*"], [])),
        ('readLines("a.R")', (["*"], [])),
        ('source(encoding = "UTF-8", file = "model_modules/a.R")', (["model_modules/a.R"], [])),
        ('source(local = TRUE, "model_modules/a.R")', (["model_modules/a.R"], [])),
        ('source(echo = FALSE, encoding = "UTF-8", fil = "a")', (["*"], [])),
        ('source("model_modules/a.R", chdir = TRUE)', (["*"], [])),
        ('source("model_modules/a.R", chd = T)', (["*"], [])),
        ('sys.source("model_modules/a.R", e, TRUE)', (["*"], [])),
        ('sys.source(file = "model_modules/a.R", e, TRUE)', (["*"], [])),
        ('source("model_modules/\\x61.R")', (["*"], [])),
        ('setwd("data"); source("model_modules/a.R")', (["*", "model_modules/a.R"], [])),
        ("withr::with_dir('data', read())", (["*"], [])),
        ('do.call("source", list(path))', (["*"], [])),
        ('eval(str2expression("x"))', (["*"], [])),
        ('eval(str2lang("x"))', (["*"], [])),
    ],
)
def test_sources_are_read(source: str, expected: tuple[list[str], list[str]]) -> None:
    """Which files a source runs, `*` where that cannot be told, and the functions at its top."""
    assert expected == read_source(source.encode())


def test_what_a_package_needs() -> None:
    """The least versions are kept; every way to compare is read, and `(== 1.2)` is no package."""
    asked = "R (>= 3.5), R (< 5), a1 (== 1.2), b.2(>1.0-1),\n    c3 (<= 2), d4 (!= 1), e5"
    found = needs(description(f"Package: x\nDepends: {asked}\nImports: f6".encode()))

    others = [("a1", ""), ("b.2", "1.0-1"), ("c3", ""), ("d4", ""), ("e5", ""), ("f6", "")]
    assert [("R", "3.5"), ("R", ""), *others] == found


@pytest.mark.r
def test_a_package_comes_from_a_repository(repository: Repository, tmp_path: Path) -> None:
    """It and what it needs are locked with digests, and built again with no repository."""
    dependency = build_package(tmp_path, "tinydep", "0.2")
    package = build_package(tmp_path, "tinystats", "0.1", "tinydep (>= 0.2)", "stats")
    address = publish(tmp_path / "cran", dependency, package)
    write_model(repository, training=TELLS, requirements="library(tinystats)\n")

    done = repository.doit("train:tiny", R_REPOS=address)

    assert 0 == done.returncode, done.stdout
    assert "tinystats 0.1\n" == repository.read(TRAINED)
    lock = repository.read("envs/locks/tiny.txt")
    needed, asked = [line for line in lock.splitlines() if line.startswith("# R package: ")]
    assert needed.startswith("# R package: tinydep 0.2 sha256:")
    assert needed.endswith(" for tinystats")
    assert asked.startswith("# R package: tinystats 0.1 sha256:")
    inputs = repository.json(INPUTS)["inputs"]
    digest = asked.rpartition(" ")[2]
    assert f"0.1 {digest}" == inputs["environment R package tinystats"]
    folder = repository.json(INPUTS)["environment"]["folder"]
    subprocess.run(["rm", "-r", folder], check=True)
    done = repository.doit("-a", "train:tiny", R_REPOS="file:///nowhere")
    assert 0 == done.returncode, done.stdout


@pytest.mark.r
def test_versions_stay_until_they_are_refreshed(repository: Repository, tmp_path: Path) -> None:
    """A new version in the repository is taken by `doit lock`, not by a change beside it."""
    cran = tmp_path / "cran"
    address = publish(cran, build_package(tmp_path, "tinystats", "0.1"))
    write_model(repository, training=TELLS, requirements="library(tinystats)\n")
    assert 0 == repository.doit("train:tiny", R_REPOS=address).returncode
    publish(
        cran, build_package(tmp_path, "tinystats", "0.10"), build_package(tmp_path, "b2", "1.0")
    )

    repository.write(f"{MODULES}/requirements.R", "library(tinystats)\nlibrary(b2)\n")
    assert 0 == repository.doit("train:tiny", R_REPOS=address).returncode
    assert "tinystats 0.1\n" == repository.read(TRAINED)

    assert 0 == repository.doit("lock:tiny", R_REPOS=address).returncode
    assert 0 == repository.doit("train:tiny", R_REPOS=address).returncode
    assert "tinystats 0.10\n" == repository.read(TRAINED)

    text = 'remotes::install_version("tinystats", "0.1")\n'
    repository.write(f"{MODULES}/requirements.R", text)
    assert 0 == repository.doit("train:tiny", R_REPOS=address).returncode
    assert "tinystats 0.1\n" == repository.read(TRAINED)
    assert "R package: b2" not in repository.read("envs/locks/tiny.txt")


@pytest.mark.r
def test_other_bytes_than_those_locked_are_refused(repository: Repository, tmp_path: Path) -> None:
    """A repository that has something else under the same version is not believed."""
    cran = tmp_path / "cran"
    package = build_package(tmp_path, "tinystats", "0.1")
    address = publish(cran, package)
    write_model(repository, training=TELLS, requirements="library(tinystats)\n")
    assert 0 == repository.doit("lock:tiny", R_REPOS=address).returncode
    for kept in repository.cache.glob("r-packages/tinystats_0.1.tar.gz"):
        kept.unlink()
    (package / "R/more.R").write_text("more <- function() 1\n")
    publish(cran, package)

    done = repository.doit("train:tiny", R_REPOS=address)

    assert "The R package `tinystats` 0.1 is not the one that was locked" in done.stdout


@pytest.mark.r
def test_a_package_that_is_not_for_this_r_is_left(repository: Repository, tmp_path: Path) -> None:
    """Of a package that needs a later R, no version is taken."""
    package = build_package(tmp_path, "tinystats", "0.1")
    text = (package / "DESCRIPTION").read_text().replace("R (>= 3.5)", "R (>= 99.1)")
    (package / "DESCRIPTION").write_text(text)
    contrib = tmp_path / "cran/src/contrib"
    contrib.mkdir(parents=True)
    (contrib / "PACKAGES").write_text(text)
    write_model(repository, training=TELLS, requirements="\nlibrary(tinystats)\n")

    done = repository.doit("train:tiny", R_REPOS=(tmp_path / "cran").as_uri())

    assert f"file    {MODULES}/requirements.R:2\n" in done.stdout
    assert "has none for R " in done.stdout


@pytest.mark.r
def test_an_upgrade_of_the_system_runs_the_model_again(
    repository: Repository, tmp_path: Path
) -> None:
    """A package of the system's library is not installed again, and its version counts."""
    variables, library = r_with_library(tmp_path / "r")
    package = build_package(tmp_path, "tinystats", "0.1")
    run_r("CMD", "INSTALL", "--no-docs", f"--library={library}", str(package), cwd=tmp_path)
    write_model(repository, training=TELLS, requirements="library(tinystats)\n")
    assert 0 == repository.doit("train:tiny", **variables).returncode
    assert "# R package: tinystats 0.1 (system)\n" in repository.read("envs/locks/tiny.txt")
    assert "0.1" == repository.json(INPUTS)["inputs"]["environment R package tinystats"]
    again = repository.doit("train:tiny", **variables)
    assert "nothing to do" in again.stdout

    package = build_package(tmp_path, "tinystats", "0.2")
    run_r("CMD", "INSTALL", "--no-docs", f"--library={library}", str(package), cwd=tmp_path)

    why = repository.doit("why", "train:tiny", **variables)
    assert "environment R package tinystats changed" in why.stdout
    assert 0 == repository.doit("train:tiny", **variables).returncode
    assert "tinystats 0.2\n" == repository.read(TRAINED)


@pytest.mark.r
def test_a_package_that_does_not_load_is_told(repository: Repository, tmp_path: Path) -> None:
    """What is installed and cannot be loaded is found as soon as an environment is built on it."""
    variables, library = r_with_library(tmp_path / "r")
    package = build_package(tmp_path, "tinystats", "0.3")
    run_r("CMD", "INSTALL", "--no-docs", f"--library={library}", str(package), cwd=tmp_path)
    (library / "tinystats/Meta/package.rds").write_bytes(b"")
    write_model(repository, training=TELLS, requirements="library(tinystats)\n")

    done = repository.doit("train:tiny", **variables)

    assert "The R packages of model `tiny` cannot be installed\n" in done.stdout, done.stdout

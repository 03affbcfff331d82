"""Repositories of every age of this family, built as they are: `tests/gallery/era-*`.

Each is one small repository, written for these tests in the layout of its time.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.conftest import GALLERY, Repository

if TYPE_CHECKING:
    from pathlib import Path

MEASURED = {
    "era-l0": {"1a0": {"accuracy": 0.75}},
    "era-l1": {"1b1": {"mean": 3.0, "mean_absolute_error": 1.5}, "1b2": {"loss": 0.125}},
    "era-l1b": {"1c1": {"accuracy": 0.75}},
    "era-l2": {"2a1": {"accuracy": 0.9, "rows": 10}},
    "era-l2-cli": {
        "2b1": {"trained": 0.5, "found": 0.25},
        "2b2": {"trained": 0.5, "found": 0.25},
        "2b3": {"trained": 0.5, "found": 0.25},
        "2b4": {"accuracy": 0.5, "odd; name": 1.0},
    },
    "era-l2-sched": {"2c1": {"mean_absolute_error": 2.0, "bias": -0.5}},
    "era-l3": {"3a1": {"MAE": 0.35}, "3a2": {"MAE": 0.35}},
    "era-l4": {
        "python-context": {"value": 1.0, "features": 1},
        "python-nearest-mean": {"Accuracy": 0.75},
        "sql-mean": {"mae": 2.0},
    },
    "era-l4b": {
        "STO": {"num_partitions": 2.0, "depth": 2},
        "iforest": {"value": 300},
        "pima_indb_tree": {"made": 9, "again": 9.0},
        "python_pima_osml_dt": {"value": 4},
    },
}
"""What the models of each repository measure, by folder; of a folder that is an id its digits."""

SCORED = {
    "era-l0": {"1a0": "0\n0\n1\n0\n"},  # by a scorer that must be given its configuration
    "era-l1b": {"1c1": "0\n0\n1\n0\n"},  # by one that may be
    "era-l2": {"2a1": "0\n0\n0\n1\n1\n1\n0\n0\n1\n0\n"},  # the first of four that are returned
    "era-l3": {"3a1": "2.1\n4.2\n6.3\n8.4\n", "3a2": "y\n2.1\n4.2\n6.3\n8.4\n"},
    "era-l4": {"python-context": "d.p,1.0\n", "sql-mean": "x,mean\n1,3.0\n2,3.0\n6,3.0\n"},
}
"""The predictions, where the repository has what scores a whole dataset."""

MARKS = {"era-l1": [pytest.mark.pyspark], "era-l3": [pytest.mark.r]}
ERAS = [pytest.param(era, id=era, marks=MARKS.get(era, ())) for era in MEASURED]


def folder_of(name: str) -> str:
    """Return the folder of a model."""
    number = int(name, 16) if name[0].isdigit() else 0
    return f"{number:08x}-0000-4000-8000-{number:012x}" if number else name


def tree(top: Path) -> dict[str, bytes | None]:
    """Return all that is in a folder, but for what the build makes: files with their bytes."""
    found = {str(path.relative_to(top)): path for path in top.rglob("*")}
    return {
        name: path.read_bytes() if path.is_file() else None
        for name, path in found.items()
        if name.partition("/")[0] != "build"
    }


def copied(era: str, repository: Repository) -> Repository:
    """Return the empty repository as a copy of one of the gallery."""
    shutil.copytree(GALLERY / era, repository.path, dirs_exist_ok=True)
    return repository


def test_every_repository_of_the_gallery_is_built() -> None:
    """No era is forgotten here."""
    assert sorted(path.name for path in GALLERY.glob("era-*")) == sorted(MEASURED)


@pytest.mark.parametrize("era", ERAS)
def test_a_repository_is_built_as_it_is(repository: Repository, era: str) -> None:
    """All its models are trained and evaluated, and nothing but `build/` is written into it."""
    copied(era, repository)
    before = tree(repository.path)

    done = repository.doit("evaluate")

    assert 0 == done.returncode, done.stdout
    measured = {
        name: repository.json(f"build/models/{folder_of(name)}/evaluate/metrics.json")["metrics"]
        for name in MEASURED[era]
    }
    assert MEASURED[era] == measured
    assert "nothing to do" in repository.doit("evaluate").stdout
    assert before == tree(repository.path)


@pytest.mark.parametrize("era", [era for era in ERAS if era.id in SCORED])
def test_a_repository_is_scored_as_it_is(repository: Repository, era: str) -> None:
    """Where there is no dataset for scoring, what is evaluated on is scored."""
    copied(era, repository)
    before = tree(repository.path)

    done = repository.doit(*(f"score:{folder_of(name)}" for name in SCORED[era]))

    assert 0 == done.returncode, done.stdout
    scored = {
        name: repository.read(f"build/models/{folder_of(name)}/score/predictions.csv")
        for name in SCORED[era]
    }
    assert SCORED[era] == scored
    assert before == tree(repository.path)

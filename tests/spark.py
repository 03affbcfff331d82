"""What the tests of PySpark share: models, a machine without Java, a cluster of Spark's own.

    python -m tests.spark PYTHON COMMAND [ARGUMENT ...]

starts a master and two workers on this machine, with the Spark in the environment of PYTHON, and
runs COMMAND with MODEL_SPARK_MASTER set to them.  The cluster has no Python of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.languages import spark
from tests.conftest import RUNNER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.conftest import Repository

MODEL = "pyspark-logistic-regression"
START_SECONDS = 60
QUICK = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
"""Has every Java of a cluster start quickly, those of its executors too."""

WORKERS = 2


class Cluster(NamedTuple):
    """A cluster: the address of its master, where its executors run, and its workers' processes."""

    master: str
    work: Path
    workers: tuple[int, ...]


def with_lock(repository: Repository, of: str, name: str) -> None:
    """Give a model the requirements of one of this repository, and its lock."""
    modules = f"model_definitions/{name}/model_modules"
    own = RUNNER / "model_definitions" / of / "model_modules/requirements.txt"
    repository.write(f"{modules}/requirements.txt", own.read_text())
    repository.write(f"envs/locks/{name}.txt", (RUNNER / f"envs/locks/{of}.txt").read_text())


def add_model(repository: Repository) -> str:
    """Copy the PySpark model of this repository, with its lock, and return its name."""
    shutil.copytree(
        RUNNER / "model_definitions" / MODEL, repository.path / "model_definitions" / MODEL
    )
    with_lock(repository, MODEL, MODEL)
    return MODEL


def add_tiny(repository: Repository, training: str, **document: object) -> str:
    """Write a PySpark model that has only its training, in the same environment."""
    like = json.loads((RUNNER / "model_definitions" / MODEL / "model.json").read_text())
    about = {"id": "tiny", "name": "Tiny", "language": "pyspark", "python": like["python"]}
    repository.write("model_definitions/tiny/model.json", {**about, **document})
    repository.write("model_definitions/tiny/model_modules/training.py", training)
    with_lock(repository, MODEL, "tiny")
    return "tiny"


def without_java(folder: Path) -> dict[str, str]:
    """Return the variables of a machine that has every program of this one but Java."""
    return {"PATH": programs(folder, "java"), "JAVA_HOME": "", "SPARK_HOME": ""}


def programs(folder: Path, left_out: str) -> str:
    """Link every program of this machine into a folder but those that are called like this."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*"):
            own = program.name.startswith(left_out)
            if not own and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return str(folder)


def interpreter(cache: Path) -> str:
    """Return the Python of the environment with Spark that a cache has."""
    package = next(cache.glob("environments/*/lib/python3*/site-packages/pyspark"))
    return str(package.parents[3] / "bin/python")


@contextlib.contextmanager
def cluster(python: str) -> Iterator[Cluster]:
    """Start a master and two workers with the Spark of an environment, and no other Python."""
    with tempfile.TemporaryDirectory(prefix="cluster-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        found = spark.find(python, os.environ)
        variables = {
            **os.environ,
            "SPARK_HOME": found.home,
            "JAVA_HOME": spark.java_home(found, name),
            "PATH": programs(folder / "bin", "python"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "256m",
            **QUICK,
        }
        own = ("--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
        room = ("--cores", "1", "--memory", "1g", "--work-dir", f"{folder}/work")

        def start(name: str, *words: str) -> tuple[Path, int]:
            log, kind = folder / f"{name}.log", name.partition("-")[0]
            return log, stack.enter_context(_daemon(found.home, kind, words, variables, log))

        log, _ = start("Master", *own)
        master = _waited(log, r"Starting Spark master at (spark://\S+)")
        workers = [start(f"Worker-{number}", *own, *room, master) for number in range(WORKERS)]
        for log, _ in workers:
            _waited(log, r"(Successfully registered) with master")
        yield Cluster(master, folder / "work", tuple(process for _, process in workers))


@contextlib.contextmanager
def _daemon(
    home: str, kind: str, words: tuple[str, ...], variables: Mapping[str, str], log: Path
) -> Iterator[int]:
    """Run one of Spark's daemons meanwhile; it ends with this process, however that ends."""
    starter = [sys.executable, str(RUNNER / "tasks/runtime/start.py"), str(os.getpid())]
    name = f"org.apache.spark.deploy.{kind.lower()}.{kind}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*starter, f"{home}/bin/spark-class", name, *words],
            env=dict(variables), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _waited(log: Path, pattern: str) -> str:
    """Wait until a log has what a pattern asks for, and return its group."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = re.search(pattern, log.read_text())
        if found:
            return found[1]
        time.sleep(0.1)
    raise TimeoutError(log.read_text())


if __name__ == "__main__":
    with cluster(sys.argv[1]) as ours:
        variables = {**os.environ, "MODEL_SPARK_MASTER": ours.master}
        sys.exit(subprocess.run(sys.argv[2:], env=variables, check=False).returncode)

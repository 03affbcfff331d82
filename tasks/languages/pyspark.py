"""PySpark: how a step is handed to `spark-submit`."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import UserError
from tasks.languages import RUNTIME, Command, Start, spark, spark_classes, spark_cluster, spark_size
from tasks.languages.spark_classes import QUICK_JAVA, Archives, quoted
from tasks.model import resources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MASTER = "MODEL_SPARK_MASTER"
"""The variable that names Spark's master for this run, whatever `model.json` says."""

MORE = "AOA_SPARK_CONF"
"""The variable with further arguments for `spark-submit`, split as a shell does."""

DEFAULT_MASTER = "local[*]"


# A short job shows no web pages.
_QUICK = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "4"}

# Into how many parts data fall decides what `randomSplit` and the like make of them.  Spark would
# take as many as there are processors: another result on each machine, and for each limit.
_REPEATED = {"spark.default.parallelism": "4"}


def settings(document: Mapping[str, Any], step: str) -> dict[str, str]:
    """Return what `model.json` says of Spark for a step, as it is written there."""
    said = [place for _, place in _places(document, step) if place]
    return {"spark": json.dumps(said, sort_keys=True)} if said else {}


def command(start: Start) -> Command:
    """Return the command that submits a step.

    What the user says stands behind what is ours, and so goes before it.  Raises UserError where
    Spark, its Java or its master cannot be used.
    """
    found = spark.find(start.python, start.variables)
    defaults = spark.defaults(found, start.variables)
    master, mode, arguments = destination(start.document, start.step, start.variables, defaults)
    _, said, _ = _understood(arguments, defaults)
    if start.cpu is not None and master == DEFAULT_MASTER:
        master = f"local[{spark_size.cores(start.cpu)}]"
    if start.lasting:  # those who ask it are to reach it here
        mode = "client"
    manager = spark_cluster.manager(master)
    place = spark_classes.place(start, found, mode, said)
    archives = spark_classes.archives(place, start) if place else Archives()
    conf = _conf(start, master, mode, archives.driver)
    conf |= spark_size.properties(manager, mode, start.cpu, start.memory, said)
    program, output = start.program, ""
    if not spark.is_local(master):
        arguments = spark_cluster.with_code(start, conf, arguments)
        if spark_cluster.is_sent(master, found.version, said, start.variables):
            arguments = spark_cluster.with_environment(start, mode, conf, arguments)
    if mode == "cluster":
        output = f"{os.path.dirname(start.work)}/driver.log"
        program = spark_cluster.with_driver(start, master, conf, output)
    words = ["--master", master, "--deploy-mode", mode]
    words += ["--name", f"{start.document.get('name')}: {start.step}"]
    for key, value in conf.items():
        words += [] if key in defaults else ["--conf", f"{key}={value}"]
    return Command(
        (f"{found.home}/bin/spark-submit", *words, *arguments, *program),
        _variables(start, found, master, archives.launcher),
        trusted=(found.home,),
        direct=False,
        tie=(start.python, "-E", "-s", "-S", str(RUNTIME / "start.py"), str(os.getpid())),
        where={"spark": {"master": master, "deploy_mode": mode}},
        hint=spark_cluster.hint(output) if output else "",
        output=output,
    )


def warm_up(start: Start) -> str:
    """Make what a step's Java starts quickly from; return what is to be told where that failed.

    Raises UserError where Spark or its Java cannot be used.
    """
    found = spark.find(start.python, start.variables)
    _, arguments = resolve(start.document, start.step, start.variables)
    mode, said, _ = _understood(arguments, spark.defaults(found, start.variables))
    place = spark_classes.place(start, found, mode, said)
    return spark_classes.make(place, start, found) if place else ""


def destination(
    document: Mapping[str, Any],
    step: str,
    variables: Mapping[str, str],
    defaults: Mapping[str, str],
) -> tuple[str, str, list[str]]:
    """Return Spark's master, its mode (`client` or `cluster`) and the other arguments.

    Raises UserError where a step cannot be sent there.
    """
    master, arguments = resolve(document, step, variables)
    master = master or defaults.get("spark.master", DEFAULT_MASTER)
    mode, said, arguments = _understood(arguments, defaults)
    spark_cluster.check(master, mode, said)
    spark.check_master(master, variables)
    return master, mode, arguments


def _understood(
    arguments: list[str], defaults: Mapping[str, str]
) -> tuple[str, dict[str, str], list[str]]:
    """Return the mode, the properties that are set, and the arguments without the mode."""
    mode, rest = spark_cluster.taken(arguments, "--deploy-mode")
    said = {**defaults, **spark_cluster.properties(rest)}
    return mode or said.get("spark.submit.deployMode", "client"), said, rest


def resolve(
    document: Mapping[str, Any], step: str, variables: Mapping[str, str]
) -> tuple[str, list[str]]:
    """Return Spark's master, empty where nobody names one, and the other arguments.

    Raises UserError for arguments that cannot be split.
    """
    named, more = _apart(variables.get(MORE, ""), MORE)
    master = variables.get(MASTER, "") or named
    arguments: list[str] | None = None
    for name, place in _places(document, step):
        text = place.get("args", "")
        named, rest = _apart(text, f"{name}.args` of `model.json")
        master = master or named or place.get("master", "")
        if text and arguments is None:
            arguments = rest
    return master, [*(arguments or ()), *more]


def _places(document: Mapping[str, Any], step: str) -> list[tuple[str, dict[str, str]]]:
    """Return each place that may have `master` and `args`, the one that counts first, and these."""
    return [
        (name, {key: str(said[key]) for key in ("master", "args") if said.get(key)})
        for name, said in resources(document, step)
    ]


def _apart(text: str, where: str) -> tuple[str, list[str]]:
    """Split arguments; return the master that they name, empty if they do not, and the others."""
    try:
        words = iter(shlex.split(text))
    except ValueError as error:
        raise UserError(
            f"The arguments for Spark in `{where}` cannot be split",
            ("arguments", text),
            ("reason", error),
            hint="close each quote, as for a shell",
        ) from error
    master, rest = "", []
    for word in words:
        option, equals, value = word.partition("=")
        if option not in ("--master", "--conf", "-c"):
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if option == "--master":
            master = value
        elif value.startswith("spark.master="):
            master = master or value.partition("=")[2]  # as spark-submit has it
        else:
            rest += ["--conf", value]
    return master, rest


def _conf(start: Start, master: str, mode: str, archives: Sequence[str]) -> dict[str, str]:
    """Return the properties that every step gets, as far as nobody sets them otherwise."""
    logs = Path(start.work, "logs")
    events = logs / "spark-events"
    events.mkdir(parents=True, exist_ok=True)
    models = f"file://{start.work}/models"
    java = [f"-Dlog4j2.configurationFile={RUNTIME / 'spark-log4j2.properties'}"]
    if mode == "cluster":
        java += [f"-Dmodelmake.logs={logs}"]
    else:
        java += [f"-Djava.io.tmpdir={start.variables['MODEL_SCRATCH']}"]  # swept with the run
        java += archives
    rest: dict[str, str] = {}
    if spark.is_local(master):
        java, rest = [*QUICK_JAVA, *java], {**_QUICK, **_REPEATED}
        rest["spark.executorEnv.PYTHONDONTWRITEBYTECODE"] = "1"  # nothing beside the sources
    elif master.startswith("yarn"):
        rest = {"spark.hadoop.yarn.resourcemanager.connect.max-wait.ms": "60000"}
    return {
        "spark.aoa.modelPath": models,
        "spark.ammf.model.path": models,
        "spark.eventLog.enabled": "false" if start.lasting else "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
        "spark.driver.extraJavaOptions": quoted(java),
        **rest,
    }


def _variables(
    start: Start, found: spark.Spark, master: str, archives: Sequence[str]
) -> dict[str, str]:
    """Return the variables of the process: which Spark, Java and Python, and what starts quickly.

    A cluster's executors may need a Python of their own, which the user names.
    """
    variables = {
        "SPARK_LAUNCHER_OPTS": " ".join([*QUICK_JAVA, *archives]),
        "PYSPARK_PYTHON": start.python,
        **({"SPARK_LOCAL_IP": "127.0.0.1"} if spark.is_here(master) else {}),
        **start.variables,
    }
    if spark.is_local(master):
        variables["PYSPARK_PYTHON"] = start.python
    java = spark.java_home(found, start.variables["MODEL_SCRATCH"])
    return {
        **variables,
        "SPARK_HOME": found.home,
        "JAVA_HOME": java,
        "PYSPARK_DRIVER_PYTHON": start.python,
    }

"""PySpark: how a step is handed to `spark-submit`."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import UserError
from tasks.languages import Command, Start, spark
from tasks.model import resources

if TYPE_CHECKING:
    from collections.abc import Mapping

MASTER = "MODEL_SPARK_MASTER"
"""The variable that names Spark's master for this run, whatever `model.json` says."""

MORE = "AOA_SPARK_CONF"
"""The variable with further arguments for `spark-submit`, split as a shell does."""

DEFAULT_MASTER = "local[*]"

_ELSEWHERE = re.compile(r"--deploy-mode[ =]cluster\b")
_RUNTIME = Path(__file__).parent.parent / "runtime"

# A short job is mostly the start of its JVM: compile quickly, collect simply, show no web pages.
_QUICK_JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_QUICK = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "4"}


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
    master, arguments = resolve(start.document, start.step, start.variables)
    if _ELSEWHERE.search(" ".join(arguments)):
        raise UserError(
            "`--deploy-mode cluster` runs a model where its working directory is not",
            hint="leave it out: the driver runs here, its executors on the cluster",
        )
    defaults = spark.defaults(found, start.variables)
    master = master or defaults.get("spark.master", DEFAULT_MASTER)
    spark.check_master(master, start.variables)
    conf = {k: v for k, v in _conf(start, master).items() if k not in defaults}
    if not spark.is_local(master):
        arguments = _with_code(start, conf, arguments)
    words = ["--master", master, "--deploy-mode", "client"]
    words += ["--name", f"{start.document.get('name')}: {start.step}"]
    for key, value in conf.items():
        words += ["--conf", f"{key}={value}"]
    starter = (start.python, "-E", "-s", "-S", str(_RUNTIME / "start.py"), str(os.getpid()))
    return Command(
        (*starter, f"{found.home}/bin/spark-submit", *words, *arguments, *start.program),
        _variables(start, found, master),
        trusted=(found.home,),
        direct=False,
    )


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


def _conf(start: Start, master: str) -> dict[str, str]:
    """Return the properties that every step gets, as far as nobody sets them otherwise."""
    events = Path(start.work, "logs", "spark-events")
    events.mkdir(parents=True, exist_ok=True)
    models = f"file://{start.work}/models"
    java = [
        f"-Djava.io.tmpdir={start.variables['MODEL_SCRATCH']}",  # swept away with the run
        f"-Dlog4j2.configurationFile={_RUNTIME / 'spark-log4j2.properties'}",
    ]
    quick: dict[str, str] = {}
    if spark.is_local(master):
        java, quick = [*_QUICK_JAVA, *java], _QUICK
    elif master.startswith("yarn"):
        quick = {"spark.hadoop.yarn.resourcemanager.connect.max-wait.ms": "60000"}
    return {
        "spark.aoa.modelPath": models,
        "spark.ammf.model.path": models,
        "spark.eventLog.enabled": "false" if start.lasting else "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
        "spark.executorEnv.PYTHONDONTWRITEBYTECODE": "1",  # nothing beside the model's sources
        "spark.driver.extraJavaOptions": " ".join(f'"{word}"' for word in java),
        **quick,
    }


def _with_code(start: Start, conf: dict[str, str], arguments: list[str]) -> list[str]:
    """Have the model's own code sent to the executors, which have no working directory of ours.

    It is a file that stands on their path: what `--py-files` names would be on the driver's too.
    """
    root = os.path.dirname(os.path.realpath(f"{start.work}/model_modules"))
    package = f"{start.variables['MODEL_SCRATCH']}/model_modules"
    archive = shutil.make_archive(package, "zip", root, "model_modules")
    conf["spark.executorEnv.PYTHONPATH"] = os.path.basename(archive)
    if "--files" in arguments[:-1]:
        at = arguments.index("--files") + 1
        return [*arguments[:at], f"{arguments[at]},{archive}", *arguments[at + 1 :]]
    return ["--files", archive, *arguments]


def _variables(start: Start, found: spark.Spark, master: str) -> dict[str, str]:
    """Return the variables of the process: which Spark, Java and Python, and what starts quickly.

    A cluster's executors may need a Python of their own, which the user names.
    """
    variables = {
        "SPARK_LAUNCHER_OPTS": " ".join(_QUICK_JAVA),
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

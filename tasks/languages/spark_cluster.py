"""What a Spark step needs on the machines of a cluster: its code, its packages, its folder."""

from __future__ import annotations

import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import UserError
from tasks.languages import packing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.languages import Start

ENVIRONMENT = "environment"
"""What the folder with the environment is called where an executor runs."""

PYTHON = f"./{ENVIRONMENT}/{packing.PYTHON}"
"""The Python of the executors where the environment is sent to them."""

IMAGES = ("spark.kubernetes.container.image", "spark.kubernetes.executor.container.image")
UPLOADS = "spark.kubernetes.file.upload.path"

_PROPERTIES = {
    "--files": "spark.files", "--archives": "spark.archives",
    "--driver-memory": "spark.driver.memory", "--driver-cores": "spark.driver.cores",
    "--executor-memory": "spark.executor.memory", "--executor-cores": "spark.executor.cores",
}  # fmt: skip
_ARCHIVES_SINCE = (3, 1)  # on YARN there were archives before

# How the variables of a driver on the cluster are named to its master.
_VARIABLES = {"yarn": "spark.yarn.appMasterEnv", "k8s": "spark.kubernetes.driverEnv"}

# What of a driver's variables its result depends on; the user's own stay on this machine.
_SENT = ("PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONUTF8", "PYTHONNOUSERSITE", "MODEL_SCRATCH")


def check(master: str, mode: str, said: Mapping[str, str]) -> None:
    """Raise UserError where a master cannot run a driver in this mode with these properties."""
    if mode == "cluster" and manager(master) not in _VARIABLES:
        raise UserError(
            f"`--deploy-mode cluster` is not for Spark's master `{master}`",
            ("reason", "Spark runs a driver in Python there on YARN and Kubernetes alone"),
            hint="leave it out: the driver runs here, its executors on the cluster",
        )
    if manager(master) != "k8s":
        return
    lacking = [] if any(said.get(name) for name in IMAGES) else [IMAGES[0]]
    if mode == "cluster" and not said.get(UPLOADS):
        lacking.append(UPLOADS)
    if lacking:
        raise UserError(
            f"Spark's master `{master}` needs to be told more",
            *(("property", name) for name in lacking),
            hint=f"add `--conf {lacking[0]}=...` to `args` in `model.json` or to AOA_SPARK_CONF;"
            " docs/spark.md of modelmake says what each is",
        )


def manager(master: str) -> str:
    """Return what a master belongs to: `yarn`, `k8s`, `spark`, `local`, `mesos`."""
    return master.partition(":")[0].partition("[")[0]


def with_code(start: Start, conf: dict[str, str], arguments: list[str]) -> list[str]:
    """Have the model's own code sent to the executors, which have no working directory of ours.

    It is a file that stands on their path: what `--py-files` names would be on the driver's too,
    which has the model's folder.
    """
    package = f"{start.variables['MODEL_SCRATCH']}/model_modules"
    archive = shutil.make_archive(package, "zip", start.work, "model_modules")
    conf["spark.executorEnv.PYTHONPATH"] = os.path.basename(archive)
    return joined(arguments, "--files", archive)


def with_environment(
    start: Start, mode: str, conf: dict[str, str], arguments: list[str]
) -> list[str]:
    """Have the packed environment sent to the executors, and to a driver that is not here."""
    archive = packing.packed(start.python, start.tell)
    conf["spark.pyspark.python"] = PYTHON
    conf["spark.pyspark.driver.python"] = PYTHON if mode == "cluster" else start.python
    return joined(arguments, "--archives", f"{archive}#{ENVIRONMENT}")


def is_sent(
    master: str, version: tuple[int, int], said: Mapping[str, str], variables: Mapping[str, str]
) -> bool:
    """Return whether the environment is sent: nobody names the executors' Python."""
    named = variables.get("PYSPARK_PYTHON") or said.get("spark.pyspark.python")
    return not named and (version >= _ARCHIVES_SINCE or manager(master) == "yarn")


def with_driver(start: Start, master: str, conf: dict[str, str], output: str) -> tuple[str, ...]:
    """Return the program of a driver on the cluster, which runs in the step's folder there."""
    for name in _SENT:
        if name in start.variables:
            conf[f"{_VARIABLES[manager(master)]}.{name}"] = start.variables[name]
    program = str(Path(start.program[0]).with_name("on_cluster.py"))
    return (program, start.work, *start.program, output)


def hint(output: str) -> str:
    """Return what to do where a driver on the cluster ends without a result."""
    return (
        "where the driver has begun, the cluster's own log of it says more; it needs the folder"
        f" `{os.path.dirname(output)}` at this path there, as docs/spark.md of modelmake says"
    )


def joined(arguments: list[str], option: str, value: str) -> list[str]:
    """Return arguments with one more value of an option that takes several, comma between."""
    given = properties(arguments).get(_PROPERTIES[option], "")
    _, rest = taken(arguments, option)
    return [option, f"{given},{value}" if given else value, *rest]


def taken(arguments: list[str], option: str) -> tuple[str, list[str]]:
    """Return the last value of an option, empty where it has none, and the other arguments."""
    found, rest = "", []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name == option:
            found = value if equals else next(words, "")
        else:
            rest.append(word)
            if word == "--conf":
                rest.append(next(words, ""))
    return found, rest


def properties(arguments: list[str]) -> dict[str, str]:
    """Return the properties that arguments set, by `--conf` or an option of their own."""
    found: dict[str, str] = {}
    for word, value in pairwise([*arguments, ""]):
        option, equals, beside = word.partition("=")
        if word == "--conf":
            name, _, found[name] = value.partition("=")
        elif option in _PROPERTIES:
            found[_PROPERTIES[option]] = beside if equals else value
    return found

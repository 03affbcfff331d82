"""What a model needs to run here, thing by thing, and whether it is there."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from tasks import fetching
from tasks.diagnosis import MISSING, OK, WARNING, Check, Finding, finding_of, unfetched
from tasks.environments import build, lock_file, locks, requirements
from tasks.environments.reasons import unlocked
from tasks.errors import UserError
from tasks.languages import pyspark, r_cran, r_home, r_packages, spark
from tasks.model import DEFAULT_DATASET, STEPS
from tasks.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.environments.build import Environment
    from tasks.environments.interpreters import Interpreter
    from tasks.environments.lock_file import Lock
    from tasks.model import DataFile, Dataset, Model
    from tasks.state import State

HASHED_BYTES = 200_000_000  # the checksum of a larger file is left to the step that reads it
DRIVERS = ("teradatasql", "teradataml")
FAULTS = 3  # so many faults of a model's files are shown


def checks(model: Model, state: State) -> Iterator[Check]:
    """Yield the looks at a model."""
    yield Check("files", lambda: _files(model), model.name)
    if not model.broken:
        yield Check("data", lambda: _data(model, state), model.name)
        yield Check("packages", lambda: _runs_on(model, state), model.name)


def _runs_on(model: Model, state: State) -> Iterator[Finding]:
    """Yield what is found of the programs and packages that a model runs on."""
    wanted = requirements.read(model, state)
    lock = locks.fitting(model, wanted, state)
    found = locks.choose(lock, wanted, state)
    if found is None:
        read = lock_file.read_lock(model, state.files)
        yield finding_of("Python", locks.no_python(model, read, wanted, state))
        return
    yield Finding("Python", OK, found.version)
    yield from _driver(model, lock)
    if model.language == "r":
        yield from _r_packages(model, lock, state)
    if lock is None and not wanted.empty:
        yield Finding("lock", WARNING, unlocked(model, state), f"`doit env:{model.name}`")
        environment = None
    else:
        pins = len(lock.versions) if lock else 0
        yield Finding("lock", OK, f"of {counted(pins, 'package')}" if pins else "not needed")
        environment = build.find(model, state)
        yield from _environment(model, environment)
    if model.language == "pyspark":
        yield from _spark(model, environment)


def interpreter(model: Model, state: State) -> Interpreter | None:
    """Return the interpreter that a model runs on here, None where that cannot be told."""
    if model.broken:
        return None
    try:
        wanted = requirements.read(model, state)
        lock = locks.fitting(model, wanted, state)
    except UserError:
        return None
    return locks.choose(lock, wanted, state)


def _files(model: Model) -> Iterator[Finding]:
    """Yield the faults of a model's files, those that keep it from running first."""
    faults = sorted(model.faults, key=lambda fault: fault.warning)
    for fault in faults[:FAULTS]:
        text = str(replace(fault, warning=False, hint=""))
        state = WARNING if fault.warning else MISSING
        yield Finding("files", state, text, fault.hint or f"`doit check {model.name}`")
    if len(faults) > FAULTS:
        more = f"{counted(len(faults) - FAULTS, 'more fault')}"
        state = WARNING if faults[FAULTS].warning else MISSING
        yield Finding("files", state, more, f"`doit check {model.name}`")
    if not faults:
        yield Finding("files", OK, "without a fault")


def hosts(model: Model) -> Iterator[tuple[str, bool]]:
    """Yield each host that a dataset of a model names, and whether its default ones do."""
    for (name, _), dataset in model.datasets.items():
        host = dataset.content.get("hostname") or dataset.content.get("host")
        if isinstance(host, str) and host:
            yield host, name == DEFAULT_DATASET


def _driver(model: Model, lock: Lock | None) -> Iterator[Finding]:
    """Yield a warning for a model with a database whose environment brings no driver."""
    if not any(hosts(model)) or (lock is None and model.language == "sql"):
        return
    found = [name for name in DRIVERS if lock and name in lock.versions]
    found += [line for line in (lock.library if lock else ()) if line.startswith(DRIVERS)]
    if found:
        yield Finding("driver", OK, f"`{found[0].split()[0]}` is locked")
    else:
        file = "requirements.R" if model.language == "r" else "requirements.txt"
        yield Finding(
            "driver", WARNING, f"no driver for Teradata among its packages ({DRIVERS[0]})",
            f"add `{DRIVERS[0]}` to {model.root}/model_modules/{file}",
        )  # fmt: skip


def _data(model: Model, state: State) -> Iterator[Finding]:
    """Yield what is wrong with a model's data files: once for each, whoever names it."""
    seen: dict[str, tuple[DataFile, Dataset, bool]] = {}
    for (name, _), dataset in sorted(model.datasets.items()):
        for data_file in dataset.files:
            seen.setdefault(data_file.path, (data_file, dataset, name == DEFAULT_DATASET))
    errors = [(_wrong_with(file, of.path, state), default) for file, of, default in seen.values()]
    for error, is_default in errors:
        if error:
            yield finding_of("data", error, MISSING if is_default else WARNING)
    if good := sum(error is None for error, _ in errors):
        yield Finding("data", OK, f"of {counted(good, 'file')}")


def _wrong_with(data_file: DataFile, where: str, state: State) -> UserError | None:
    """Return what is wrong with a data file: it is not here, not right, or not to be had."""
    try:
        _check_data(data_file, where, state)
    except UserError as error:
        return error
    return None


def _check_data(data_file: DataFile, where: str, state: State) -> None:
    """Raise UserError for what is wrong with a data file."""
    there = os.path.exists(data_file.path)
    if data_file.url:  # its checksum was compared when it came
        if there or fetching.in_mirror(data_file):
            return
        if trouble := unfetched(data_file.url):
            raise fetching.not_to_be_had(data_file, where, trouble)
    elif not there or os.path.getsize(data_file.path) <= HASHED_BYTES:
        fetching.check(data_file, where, state.files)


def _environment(model: Model, environment: Environment | None) -> Iterator[Finding]:
    if environment is None or not environment.built:
        yield Finding("environment", WARNING, "not built yet", f"`doit env:{model.name}`")
        return
    build.check_unaltered(environment)
    yield Finding("environment", OK, "built")


def _r_packages(model: Model, lock: Lock | None, state: State) -> Iterator[Finding]:
    """Yield the packages of R that are neither installed nor locked, in one."""
    r = r_home.find(model.name, state)
    locked = {one.name for one in r_packages.parsed(lock.library if lock else ()) if one.digest}
    names = [one.name for one in r_packages.asked(model, state)]
    there = {name for name in names if r_home.package(name, r.libraries, state)}
    lacking = [name for name in names if name not in there | locked]
    if not lacking:
        if names:
            yield Finding("R packages", OK, f"{', '.join(names)}")
        return
    apt = f"`{r_home.APT} {' '.join(f'r-cran-{name.lower()}' for name in lacking)}`"
    found = f"not installed: {', '.join(lacking)}"
    places = [one for one in r_cran.repositories() if not unfetched(f"{one}/src/contrib/PACKAGES")]
    if places:
        found += f"; fetched from {places[0]} when its environment is built"
    yield Finding("R packages", WARNING if places else MISSING, found, apt)


def _spark(model: Model, environment: Environment | None) -> Iterator[Finding]:
    """Yield the Spark and the Java that a model runs on, and each master that it asks for.

    Before the environment is built, only those that the user has named can be looked at.
    """
    variables = {**(environment.variables if environment else {}), **os.environ}
    defaults: dict[str, str] = {}
    if environment and environment.built:
        found = spark.find(environment.python, variables)
        defaults = spark.defaults(found, variables)
        version, java = ".".join(map(str, found.version)), spark.java_version(found.release)
        own = [f" of {name}" if variables.get(name) else "" for name in ("SPARK_HOME", "JAVA_HOME")]
        yield Finding("Spark", OK, f"{version}{own[0]} on Java {java}{own[1]}")
    else:
        if variables.get("SPARK_HOME"):
            spark.find_home("", variables)
        if variables.get("JAVA_HOME"):
            spark.find_java("", variables)
    sent = [pyspark.destination(model.document, step, variables, defaults) for step in STEPS]
    for master in dict.fromkeys(master for master, _, _ in sent):
        yield Finding("master", OK, master)

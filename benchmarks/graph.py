"""The graph of the no-op's benchmark, for each tool: two steps a model, eight inputs each.

The results of our own are really made for the first model; the others have the same code, data and
parameters, so theirs are copies of it, each with the record that a run of it would have written.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING

from common import (
    REQUIREMENTS,
    STEPS,
    Contender,
    doit,
    inputs_of,
    model_name,
    progress,
    variables,
    write_repository,
)

from tasks import discover, plan, records
from tasks.environments import build
from tasks.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tasks.plan import Step

PLACE = "model_definitions/{}"
LOCK = "envs/locks/{}.txt"
SETTLE_SECONDS = 0.1  # a digest taken in the tick of the write is not believed in the next run

PLAIN_DODO = """
import os

MODELS = sorted(os.listdir("model_definitions"))
DOIT_CONFIG = {"default_tasks": ["evaluate"]}


def write(targets):
    for target in targets:
        with open(target, "w") as file:
            file.write(target)


def step(model, name, sources, *more):
    folder = f"model_definitions/{model}"
    return {
        "name": model,
        "actions": [write],
        "file_dep": [
            *(f"{folder}/model_modules/{source}.py" for source in sources),
            f"{folder}/model.json",
            f"{folder}/config.json",
            f"{folder}/datasets/{name}.json",
            "data/shared.csv",
            *(path.format(model) for path in MORE),
            *more,
        ],
        "targets": [f"out/plain/{model}.{name}"],
    }


def task_train():
    for model in MODELS:
        yield step(model, "train", ("__init__", "training", "shared", "scoring"))


def task_evaluate():
    sources = ("__init__", "evaluation", "shared", "scoring")
    for model in MODELS:
        yield step(model, "evaluate", sources, f"out/plain/{model}.train")
"""

# doit as it comes: it finds our plugins like any other command does, and does not take them.
PLAIN_DOIT = """
import sys
import doit.plugin
from doit.doit_cmd import DoitMain

found = doit.plugin.entry_points_impl()
doit.plugin.entry_points_impl = lambda: lambda **of: [
    point for point in found(**of) if not point.value.startswith("tasks.")
]
sys.exit(DoitMain().run(sys.argv[1:]))
"""


def prepare(folder: Path, models: int, *, locked: bool = False) -> list[str]:
    """Write the repository and the other tools' files; return the paths of all inputs."""
    for name in ("model_definitions", "build", "out"):
        shutil.rmtree(folder / name, ignore_errors=True)
    files = write_repository(folder, models)
    if locked:
        files += _lock(folder, models)
    for tool in ("plain", "ninja", "make"):
        (folder / "out" / tool).mkdir(parents=True)
    more = [f"{PLACE}/model_modules/requirements.txt", LOCK] if locked else []
    (folder / "plain.py").write_text(PLAIN_DODO.replace("MORE", repr(more)), encoding="utf-8")
    (folder / "empty.py").write_text("", encoding="utf-8")
    (folder / "build.ninja").write_text(_ninja(models, more), encoding="utf-8")
    (folder / "Makefile").write_text(_makefile(models, more), encoding="utf-8")
    time.sleep(SETTLE_SECONDS)
    progress("training and evaluating the first model")
    Contender("first", doit(f"evaluate:{model_name(0)}"), folder).run()
    _replicate(folder)
    time.sleep(SETTLE_SECONDS)
    progress("")
    return files


def _replicate(folder: Path) -> None:
    """Give each model the results of the first, recorded as its own."""
    os.environ.update(variables(folder))
    before = os.getcwd()
    os.chdir(folder)
    state = State(":memory:")
    first, *rest = discover.discover(state.files)
    made = {name: records.read(plan.Step(first, name).folder, state.files) for name in STEPS}
    for number, model in enumerate(rest):
        progress(f"recording the results of {number} of {len(rest)} models")
        for name in STEPS:
            _record(plan.Step(model, name), made[name], state)
    os.chdir(before)


def _record(step: Step, like: records.Record | None, state: State) -> None:
    """Publish a copy of a result as that of a step with the same code, data and parameters."""
    if like is None:
        sys.exit("the first model has no result")
    environment = build.find(step.model, state)
    inputs = plan.inputs(step, state.files, environment.identity if environment else None)
    result = os.path.abspath(f"{plan.BUILD}/results/{step.name}-{step.variant}-copied")
    shutil.copytree(like.folder, result)
    with open(f"{result}/{plan.ARTEFACTS}", encoding="utf-8") as file:
        made = records.Made(json.load(file)["files"], {}, records.measured(result))
    names = {"name": step.model.name, "id": step.model.id, "title": step.model.title}
    own = {"inputs": inputs, "key": plan.key(step, inputs), "model": names}
    records.write(result, made, {**like.run, **own})
    os.makedirs(os.path.dirname(step.folder), exist_ok=True)
    os.symlink(os.path.relpath(result, os.path.dirname(step.folder)), step.folder)


def _lock(folder: Path, models: int) -> list[str]:
    """Give every model the same requirements, and the lock that one of them gets."""
    names = [model_name(number) for number in range(models)]
    wanted = [f"{PLACE}/model_modules/requirements.txt".format(name) for name in names]
    locks = [LOCK.format(name) for name in names]
    for path in wanted:
        (folder / path).write_text(REQUIREMENTS, encoding="utf-8")
    (folder / "envs" / "locks").mkdir(parents=True, exist_ok=True)
    progress("locking one model and building its environment")
    Contender("env", doit("run", f"env:{names[0]}"), folder).run()
    for path in locks[1:]:
        shutil.copyfile(folder / locks[0], folder / path)
    return [*wanted, *locks]


def _rules(models: int, tool: str, more: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each step's target and what it is made from."""
    for number in range(models):
        name = model_name(number)
        also = [path.format(name) for path in more]
        targets = [f"out/{tool}/{name}.{step}" for step in STEPS]
        yield targets[0], [*inputs_of(name, "train"), *also]
        yield targets[1], [*inputs_of(name, "evaluate"), *also, targets[0]]


def _ninja(models: int, more: Sequence[str]) -> str:
    steps = _rules(models, "ninja", more)
    rules = (f"build {target}: touch {' '.join(made)}" for target, made in steps)
    return "\n".join(["rule touch", "  command = touch $out", *rules, ""])


def _makefile(models: int, more: Sequence[str]) -> str:
    rules = dict(_rules(models, "make", more))
    lines = [f"all: {' '.join(rules)}", ".PHONY: all"]
    lines += [f"{target}: {' '.join(made)}\n\ttouch $@" for target, made in rules.items()]
    return "\n".join([*lines, ""])


def plain(folder: Path, backend: str, tasks: str = "plain.py") -> Contender:
    """Return plain doit on a file of tasks."""
    place = ["-f", tasks, "--backend", backend, "--db-file", f"out/{tasks}.{backend}"]
    command = [sys.executable, "-c", PLAIN_DOIT, "run", *place]
    return Contender(f"plain doit, {backend}", command, folder)


def others(folder: Path) -> list[Contender]:
    """Return who else runs a no-op on the same graph."""
    commands = {"ninja": ["ninja"], "make": ["make", "--silent", "--no-builtin-rules"]}
    return [plain(folder, "dbm"), plain(folder, "sqlite3")] + [
        Contender(name, command, folder)
        for name, command in commands.items()
        if shutil.which(name) or print(f"{name} is not installed\n")
    ]

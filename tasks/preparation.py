"""What a step needs before it runs, and whether that is still what it was when it has run."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tasks import datasets, discover, fetching, frameworks, plan, records, results
from tasks.environments import build
from tasks.errors import InvalidModel, UserError
from tasks.folders import links_on
from tasks.looks import look, times
from tasks.sources import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.environments.build import Environment
    from tasks.fingerprint import Files
    from tasks.looks import Look
    from tasks.plan import Step
    from tasks.processes import Watcher
    from tasks.progress import Activity
    from tasks.runs import Run
    from tasks.state import State


@dataclass(frozen=True)
class Prepared:
    """A step that is ready to run: its files read anew, its environment built, its key known.

    `looks` is how all that it reads looks, files and the links on the way to them, `listed` how the
    folders of data do.
    """

    step: Step
    environment: Environment
    inputs: Mapping[str, str]
    key: str
    looks: Mapping[str, tuple[Look, str]]
    listed: Mapping[str, Look]


@dataclass(frozen=True)
class Attempt:
    """A step that is being run: in the folder of `run`, with those who look on.

    `number` counts from 1.  A `fresh` one neither goes on from a checkpoint nor leaves any.
    """

    prepared: Prepared
    run: Run
    state: State
    activity: Activity
    watcher: Watcher
    number: int = 1
    fresh: bool = False


def read_again(step: Step, state: State) -> Step:
    """Return a step of the model as its files are now.  Raises InvalidModel where it is broken."""
    model = discover.read_again(step.model, state.files)
    if model.broken:
        raise InvalidModel(model.name, model.faults)
    step = replace(step, model=model)
    for made in (step, step.upstream):
        if made:
            results.look_again(made, state.files)
    return step


def prepare(step: Step, state: State, activity: Activity) -> Prepared:
    """Read the model's files as they are now, and make ready all that the step needs."""
    step = read_again(step, state)
    model = step.model
    if step.upstream and records.read(step.upstream.folder, state.files) is None:
        raise UserError(
            f"Model `{model.name}` is not trained", hint=f"`doit {step.upstream.task}` trains it"
        )
    activity.say("environment")
    environment = build.ensure(model, state, activity.tell, activity.alerts.append)
    activity.say("data")
    there = plan.data_paths(step)
    state.files.forget(there)
    state.files.digest_ahead(there, activity.tell)
    for data_file in step.dataset.files:
        fetching.fetch(data_file, step.dataset.path, state.files, activity.tell)
    inputs = plan.inputs(step, state.files, environment.identity)
    key, looks = plan.key(step, inputs), _looks(step, state.files)
    return Prepared(step, environment, inputs, key, looks, _listed(step))


def check_inputs(prepared: Prepared, state: State) -> list[str]:
    """Refuse a result whose inputs moved under it: nobody could say what it was made from.

    Return the folders of data in which something was for a while: a file that the step may have
    read, or one that a library keeps beside a database while that is open.
    """
    step = prepared.step
    model = discover.read_again(step.model, state.files)
    state.files.forget(plan.data_paths(step))
    if step.upstream:
        state.files.forget([f"{step.upstream.folder}/{plan.ARTEFACTS}"])
    environment = build.find(model, state)
    step = replace(step, model=model)
    now = plan.inputs(step, state.files, environment.identity if environment else None)
    moved = [
        name
        for name in sorted(prepared.inputs.keys() | now.keys())
        if prepared.inputs.get(name) != now.get(name)
    ]
    # A file that was changed and changed back is the same again, but what was read of it?  Of one
    # in which only a comment is other than it was, something may have been read half-written.
    if not moved:
        looks = _looks(step, state.files)
        touched = looks.items() ^ prepared.looks.items()
        moved = sorted({path for path, _ in touched})
    if moved:
        raise UserError(
            f"What the {step.name} step of model `{model.name}` reads changed while it ran",
            *(("changed", name) for name in moved),
            hint="run `doit` again; if the model itself writes there, let it write to models/",
        )
    return sorted({path for path, _ in _listed(step).items() ^ prepared.listed.items()})


def _looks(step: Step, files: Files) -> dict[str, tuple[Look, str]]:
    """Return how all that a step reads looks now.

    Of a file all bytes count, whichever of them are in the key; a link's times tell that it led
    elsewhere.
    """
    paths = plan.read_paths(step, files)
    links = links_on([*paths, *(item.path for item in step.dataset.files), step.model.folder])
    return {
        **{path: (look(path), files.digest(path)) for path in paths if os.path.exists(path)},
        **{f"{link} -> {os.readlink(link)}": (times(os.lstat(link)), "") for link in links},
    }


def _listed(step: Step) -> dict[str, Look]:
    """Return how the folders of a step's data look: their times tell that something was in them."""
    data = [item.path for item in step.dataset.files]
    return {folder: look(folder) for path in data for folder in datasets.folders_of(path)}


def check_imports(prepared: Prepared, imported: list[str]) -> None:
    """Refuse a result that ran a source which its key does not hold."""
    step = prepared.step
    known = {os.path.realpath(path) for path in prepared.looks}
    hidden = [path for path in imported if path not in known]
    if hidden:
        raise UserError(
            f"The {step.name} step of model `{step.model.name}` imported what no import statement"
            f" in its {PACKAGE} names",
            *(("file", os.path.relpath(path)) for path in hidden),
            hint=f"{frameworks.language(step.model).plainly}, so that a change to it is seen",
        )

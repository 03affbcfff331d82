"""doit's tasks: one for each step of each model, made from what was discovered."""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import inspect
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks import actions, cgroups, discover, places, plan, records, snapshot
from tasks.backend import FileChecker
from tasks.containers import RUNNER
from tasks.environments import build
from tasks.execute import run_step
from tasks.explain import why
from tasks.model import DEFAULT_DATASET, STEPS
from tasks.plan import Step
from tasks.progress import Activity
from tasks.state import State, open_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tasks.model import Model

CONFIG = {
    "dep_file": "build/state.db",
    "backend": "modelmake",
    "check_file_uptodate": FileChecker,
    "reporter": "modelmake",
    "default_tasks": ["evaluate"],
    "num_process": cgroups.cores(),
    "continue": True,
}
"""doit's configuration."""


class Options:
    """What the command line said; the run command sets it.

    `kinds` are the kinds of tasks that can come up, `folders` those of the models, None: all.
    With `only_stale`, doit is given tasks for those models alone that have something to do: a doit
    task costs more than the look that finds it current; the task group `counted_by` says how many
    steps those are.  `force`, `twice`, `enforce` and the place `on` go to the steps, `as_of` to the
    locks.
    """

    kinds: frozenset[str] | None = None
    folders: tuple[str, ...] | None = None
    only_stale = False
    counted_by = ""
    force = False
    twice: frozenset[str] = frozenset()
    enforce = False
    as_of = ""
    on = ""


@functools.cache
def models() -> tuple[Model, ...]:
    """Return the models of the repository that can come up, discovered once a process."""
    files = open_state().files
    if Options.folders is not None:
        return tuple(discover.read_model(folder, files) for folder in Options.folders)
    return tuple(discover.discover(files))


def task_env() -> Iterator[dict[str, Any]]:
    """Build the environment of a model."""
    for model, task in _model_tasks("env", "build the environment of", actions.environment):
        yield {**task, "uptodate": [(build.is_built, [model, open_state()])] if model else [False]}


def task_lock() -> Iterator[dict[str, Any]]:
    """Resolve the requirements of a model anew."""
    resolved = functools.partial(actions.lock, as_of=Options.as_of)
    for _, task in _model_tasks("lock", "resolve anew the requirements of", resolved):
        yield task


def task_image() -> Iterator[dict[str, Any]]:
    """Build the image that serves a model."""
    for model, task in _model_tasks("image", "build the image that serves", actions.image):
        yield {**task, "task_dep": [f"evaluate:{model.name}"]} if model else task
    if RUNNER not in {model.name for model in _models_for("image")}:
        activity = Activity()
        yield {
            "name": RUNNER,
            "doc": "build the image that carries out steps elsewhere",
            "actions": [(actions.acted, [actions.runner_image, models, activity])],
            "uptodate": [False],
            "meta": {"activity": activity},
        }


def task_k8s() -> Iterator[dict[str, Any]]:
    """Write what a Kubernetes cluster needs to run a model."""
    for _, task in _model_tasks("k8s", "write the Kubernetes manifests of", actions.manifest):
        yield task


def _model_tasks(
    kind: str, doc: str, act: Callable[[Model, Activity], dict[str, Any]]
) -> Iterator[tuple[Model | None, dict[str, Any]]]:
    """Yield the group of a kind of tasks that are about models, and then the task of each."""
    yield None, _group(kind, f"{doc} a model")
    for model in _models_for(kind):
        activity = Activity()
        yield (
            model,
            {
                "name": model.name,
                "doc": f"{doc} {model.title}",
                "actions": [(actions.acted, [act, model, activity])],
                "uptodate": [False],
                "meta": {"activity": activity},
            },
        )


def task_train() -> Iterator[dict[str, Any]]:
    """Train a model."""
    yield from _step_tasks("train")


def task_evaluate() -> Iterator[dict[str, Any]]:
    """Evaluate a model, trained if it must be."""
    yield from _step_tasks("evaluate")


def task_score() -> Iterator[dict[str, Any]]:
    """Score a dataset with a model, trained if it must be."""
    yield from _step_tasks("score")


def _models_for(kind: str) -> tuple[Model, ...]:
    if Options.kinds is not None and kind not in Options.kinds:
        return ()
    if Options.only_stale and kind in STEPS:
        return _survey().stale
    return _longest_first(models()) if Options.force else models()


@dataclass(frozen=True)
class Survey:
    """The models with something to do, and how many steps the others have."""

    stale: tuple[Model, ...]
    current: int


@functools.cache
def _survey() -> Survey:
    """Look at every model, and read those of which nothing is known or something has changed."""
    kinds = [kind for kind in STEPS if Options.kinds is None or kind in Options.kinds]
    folders, held = snapshot.survey(snapshot.kind_of(kinds))
    stale = [model for folder in folders if folder not in held for model in learnt(folder, kinds)]
    return Survey(_longest_first(stale), len(kinds) * (len(folders) - len(stale)))


def stale_folders() -> list[str]:
    """Return the folders of the models that were found to have something to do."""
    return [model.folder for model in _survey().stale] if Options.only_stale else []


def learnt(folder: str, kinds: Sequence[str]) -> list[Model]:
    """Return the model of a folder if it has something to do; that it has not is remembered."""
    state = open_state()
    with state.files.tracing() as trace:
        model = discover.read_model(folder, state.files)
        if any(why(Step(model, kind), state) for kind in kinds):
            return [model]
    state.conclude(snapshot.kind_of(kinds), folder, trace)
    return []


def _longest_first(some: Iterable[Model]) -> tuple[Model, ...]:
    """Return models in an order in which no long one starts when all others are done."""
    return tuple(sorted(some, key=_expected_seconds, reverse=True))


def _expected_seconds(model: Model) -> float:
    """Return how long a model took last time; infinity where it has never been evaluated."""
    files = open_state().files
    results = [records.read(Step(model, kind).folder, files) for kind in ("train", "evaluate")]
    return sum(float(one.run.get("seconds", 0)) if one else math.inf for one in results)


def _group(basename: str, doc: str) -> dict[str, Any]:
    return {"basename": basename, "name": None, "doc": doc}


def _step_tasks(name: str) -> Iterator[dict[str, Any]]:
    group = _group(name, f"{name} every model")
    state = open_state()
    if Options.only_stale and name == Options.counted_by:
        group["meta"] = {"current": _survey().current}
    yield group
    for model in _models_for(name):
        for dataset_name in (DEFAULT_DATASET, *model.dataset_names):
            yield _step_task(Step(model, name, dataset_name), state)


def _step_task(step: Step, state: State) -> dict[str, Any]:
    """Return doit's task of a step.

    Its result is current when its record has these inputs and its outputs are what was recorded
    (`uptodate`); the files that it reads are named as well, so that doit's own commands know them.
    A step on a named dataset stands outside its group: it runs only when it is asked for.
    """
    activity = Activity()
    reads: list[str] = []
    if not step.model.broken:
        with contextlib.suppress(OSError):  # told when the step is to run, or asked about
            reads = plan.read_paths(step, state.files)
    if step.upstream:
        reads.append(f"{step.upstream.folder}/{plan.ARTEFACTS}")
    name = {"basename": step.task} if step.dataset_name else {"name": step.variant}
    return {
        **name,
        "doc": f"{step.name} {step.model.title}",
        "actions": [(actions.acted, [_run, step, activity])],
        "file_dep": reads,
        "targets": [f"{step.folder}/{plan.ARTEFACTS}"],
        "uptodate": [(_is_current, [step, state])],
        "meta": {"activity": activity, "step": step},
    }


def _is_current(step: Step, state: State) -> bool:
    return not (_is_twice(step) or why(step, state))


# doit looks at the signature for every task of a run; this is where Python keeps one it knows.
_is_current.__signature__ = inspect.signature(_is_current)  # type: ignore[attr-defined]


def _is_twice(step: Step) -> bool:
    """Return whether the step, its group or a pattern of its name was named with `--twice`."""
    words = Options.twice
    return step.name in words or any(fnmatch.fnmatchcase(step.task, word) for word in words)


def _run(step: Step, activity: Activity) -> dict[str, Any]:
    on = replace(places.chosen(step, Options.on), enforce=Options.enforce)
    twice = _is_twice(step)
    return asdict(run_step(step, open_state(), activity, on, force=Options.force, twice=twice))

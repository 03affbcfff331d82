"""Have a step run by a process on this machine, and publish what it has made."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any

from tasks import (
    attempts,
    checkpoints,
    furnishing,
    git,
    launch,
    metrics,
    plan,
    preparation,
    records,
    resources,
    results,
    store,
)
from tasks.errors import UserError
from tasks.places import LOCAL
from tasks.records import Made

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.places import On
    from tasks.plan import Step
    from tasks.preparation import Attempt
    from tasks.progress import Activity
    from tasks.resources import Amounts

VERSION_DIGITS = 12
"""How much of the key of a training stands for the model that it made."""


def carry_out(attempt: Attempt, on: On) -> None:
    """Run a step by a process on this machine and publish what it made."""
    step, run, activity = attempt.prepared.step, attempt.run, attempt.activity
    if on.name == LOCAL:  # neither the step's time nor its record has what is made once
        failed = launch.warm_up(step, attempt.prepared.environment, run, activity.tell)
        activity.alerts += [failed] if failed else []
    began = time.time()
    made = make(attempt, on)
    activity.say("recording")
    circumstances = {**_circumstances(attempt, began, on), "usage": made.usage}
    circumstances["where"] |= made.where
    os.replace(run.log, f"{run.work}/{records.LOG}")
    version = attempt.prepared.key[:VERSION_DIGITS]
    told = plan.VERSION in attempt.prepared.inputs
    records.write(run.work, made, circumstances, version if told else "")
    results.settle(run.work)
    if store.serves(step):
        store.keep(run.work, activity.alerts.append)
    results.publish(run, step, attempt.state.files)
    if store.serves(step):
        activity.say("store")
        store.share(attempt.prepared.key, run.scratch, activity.alerts.append)


def make(attempt: Attempt, on: On) -> Made:
    """Run the model's function and return what it made, checked."""
    prepared, run, state, activity = (
        attempt.prepared, attempt.run, attempt.state, attempt.activity,
    )  # fmt: skip
    step = prepared.step
    upstream = records.read(step.upstream.folder, state.files) if step.upstream else None
    given = furnishing.furnish(run, step, upstream)
    if not attempt.fresh:
        checkpoints.offer(step, prepared.key, prepared.looks, run)
    activity.say(step.name)
    trained = upstream.key if upstream else prepared.key
    version = trained[:VERSION_DIGITS]
    result = launch.call(
        run, step, prepared.environment, version,
        here=on.here, watcher=attempt.watcher, tell=activity.tell,
        held=_limits(step, on, activity), terminal=on.terminal,
    )  # fmt: skip
    attempts.add_logs(run)
    if on.name == LOCAL:
        _warn_of_excess(step, result["usage"]["peak_memory"], activity)
    activity.say("checking")
    for folder in preparation.check_inputs(prepared, state):
        activity.alerts.append(
            f"`{folder}` was written to meanwhile, and has what it had: if the step may have read"
            f" what was there for a while, `doit -a {step.task}` makes the result anew"
        )
    work = os.path.realpath(run.work) + os.sep  # what training made is part of the key as it is
    preparation.check_imports(
        prepared, [path for path in result["imported"] if not path.startswith(work)]
    )
    measured = None
    if step.name == "evaluate":
        measured = metrics.collect(run.work, result["returned"], step.model.name)
        metrics.check_thresholds(measured["metrics"], step.model.thresholds, step.model.name)
    found = furnishing.left_behind(run, given)
    logs = {name: found.pop(name) for name in list(found) if name.startswith(f"{records.LOGS}/")}
    if measured is not None:
        found.pop(records.METRICS, None)  # the record of that name says the same
    _check_left(found, step)
    return Made(found, logs, measured, result["where"], result["usage"])


def _limits(step: Step, on: On, activity: Activity) -> Amounts | None:
    """Return what a step is to be held to, and say where that is nothing.

    Places other than this machine's plain processes have limits of their own.
    """
    limits = resources.of(step.model, step.name).limits
    if not on.enforce or on.name != LOCAL:
        return None
    if limits.cpu or limits.memory:
        return limits
    key = resources.key_of(step.model, step.name, "memory")
    activity.alerts.append(f"it is held to no limit: `{key}` in model.json says none")
    return None


def _warn_of_excess(step: Step, peak: int, activity: Activity) -> None:
    """Say where a step used more memory (bytes) than its limit, to which nothing held it."""
    most = resources.of(step.model, step.name).limits.memory
    if most and peak > most:
        key = resources.key_of(step.model, step.name, "memory")
        used, allowed = resources.memory_text(peak), resources.memory_text(most)
        activity.alerts.append(
            f"it used {used} of memory; where `{key}` in model.json is enforced it is killed at"
            f" {allowed}"
        )


def _circumstances(attempt: Attempt, began: float, on: On) -> dict[str, Any]:
    prepared, step = attempt.prepared, attempt.prepared.step
    return {
        "key": prepared.key,
        "model": {"name": step.model.name, "id": step.model.id, "title": step.model.title},
        "step": step.name,
        "dataset": {"name": step.dataset_name, "file": step.dataset.path},
        "inputs": dict(prepared.inputs),
        "environment": {
            "folder": prepared.environment.folder,
            "packages": prepared.environment.packages(),
            "pins": prepared.environment.lock.versions if prepared.environment.lock else {},
        },
        "git": on.commit or git.head(),
        "where": dict(on.here.describe()),
        "host": socket.gethostname(),
        "started": records.utc(began),
        "seconds": round(time.time() - began, 3),
        **({"attempts": attempt.number} if attempt.number > 1 else {}),
        **({"resumed": True} if checkpoints.offered(attempt.run) else {}),
    }


def _check_left(found: Mapping[str, Any], step: Step) -> None:
    """Raise UserError where a step has left nothing, or what cannot be kept."""
    taken = sorted(found.keys() & records.NAMES)
    if taken:
        raise UserError(
            f"The {step.name} step of model `{step.model.name}` left a file with a record's name",
            *(("file", name) for name in taken),
            hint="write it under models/",
        )
    if not found and step.name != "evaluate":
        raise UserError(
            f"The {step.name} step of model `{step.model.name}` left nothing",
            hint="save the model under models/ (artifacts/output is the same folder)"
            if step.name == "train"
            else "return the predictions, or write them into a file",
        )

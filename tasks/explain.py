"""Why a step must run, in sentences."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from tasks import plan, records
from tasks.environments import build, locks
from tasks.environments.requirements import read
from tasks.errors import UserError
from tasks.sources import PACKAGE, read_by_step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.environments.build import Environment
    from tasks.plan import Step
    from tasks.records import Record
    from tasks.state import State

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def why(step: Step, state: State) -> list[str]:
    """Return why a step must run, a sentence each; empty where its result is current."""
    if step.model.broken:
        return [f"the model has faults: {f}" for f in step.model.faults if not f.warning]
    try:
        environment = build.find(step.model, state)
        inputs = plan.inputs(step, state.files, environment.identity if environment else None)
    except UserError as error:
        return [error.headline]
    except OSError as error:
        return [f"`{error.filename}` cannot be read: {error.strerror}"]
    reasons = records.reasons(records.read(step.folder, state.files), inputs, state.files)
    if environment is None and len(reasons) > 1:
        others = [reason for reason in reasons if not reason.startswith("environment ")]
        return [*others, _unlocked(step, state)]
    return reasons


def _unlocked(step: Step, state: State) -> str:
    """Return why there is no environment to compare with."""
    requirements = read(step.model, state.files)
    lock = locks.read_lock(step.model, state.files)
    if lock is None and not requirements.empty:
        return f"{requirements.path} is not locked yet"
    if not requirements.empty and not locks.fitting(step.model, requirements, state.files):
        return f"{requirements.path} changed since it was locked"
    return f"no Python that it can run on is installed ({requirements.python})"


def explain(step: Step, state: State) -> list[str]:
    """Return what `why` does, each sentence with what lies behind it."""
    record = records.read(step.folder, state.files)
    imports = {} if step.model.broken else _imports(step, state)
    sentences = []
    for sentence in why(step, state):
        subject = sentence.rpartition(" changed")[0].removeprefix(f"file {PACKAGE}/")
        if sentence == "environment lock changed":
            sentences += _packages(step, record, state) or [sentence]
        elif imports.get(subject):
            sentences.append(f"{sentence} ({imports[subject]})")
        else:
            sentences.append(sentence)
    if sentences and os.path.exists(step.failed_folder):
        sentences.append(f"its last run failed, and what it left is in {step.failed_folder}")
    if step.upstream and why(step.upstream, state):
        sentences.append(f"{step.upstream.task} must run first")
    return sentences


def _imports(step: Step, state: State) -> Mapping[str, str]:
    folder = f"{step.model.root}/{PACKAGE}"
    return read_by_step(step.name, folder, step.model.sources, state.files)


def _packages(step: Step, record: Record | None, state: State) -> list[str]:
    """Return a sentence for each package whose version is not what the result was made with."""
    environment: Environment | None = build.find(step.model, state)
    if record is None or environment is None or environment.lock is None:
        return []
    recorded = record.run["environment"]["packages"]
    before = {locks.normal(k): v for k, v in recorded.items() if " from " not in v}
    now = {locks.normal(name): version for name, version in _PIN.findall(environment.lock.pins)}
    return [
        f"package {name} changed from {before[name]} to {now[name]}"
        if name in before
        else f"package {name} {now[name]} is new"
        for name in sorted(now)
        if before.get(name) != now[name]
    ] + [f"package {name} {before[name]} is gone" for name in sorted(before.keys() - now)]

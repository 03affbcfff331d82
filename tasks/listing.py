"""What is listed of each model: its state and what it last measured.

How a model is listed is remembered with all that was looked at for it (see `snapshot`): of most of
a thousand models nothing has changed since they were last listed.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tasks import discover, plan, records, snapshot
from tasks.explain import acceptance, explain, has_failed
from tasks.model import Model

if TYPE_CHECKING:
    from tasks.records import Acceptance
    from tasks.state import State

_KIND = "list"


def rows(state: State) -> list[dict[str, Any]]:
    """Return what is listed of every model of the repository."""
    folders, held = snapshot.survey(_KIND)
    found = []
    for folder in folders:
        if folder in held:
            listed = json.loads(held[folder])
        else:
            with state.files.tracing() as trace:
                listed = row(discover.read_model(folder, state.files), state)
            state.conclude(_KIND, folder, trace, listed)
        found.append((folder, listed))
    shared = [Model(one["name"], folder, folder, {"id": one["id"]}) for folder, one in found]
    for model, (_, one) in zip(discover.with_shared_ids(shared), found, strict=True):
        one["faults"] += [asdict(fault) for fault in model.faults]
    return [one for _, one in found]


def told(accepted: Acceptance) -> dict[str, Any]:
    """Return what programs are told of an acceptance."""
    return {name: value for name, value in asdict(accepted).items() if name != "inputs"}


def row(model: Model, state: State) -> dict[str, Any]:
    """Return what is listed of a model; of datasets the default ones count."""
    train, evaluate, _ = plan.steps_of(model)[:3]
    reasons = {step.task: explain(step, state) for step in (train, evaluate)}
    stale = [step for step in (train, evaluate) if reasons[step.task]]
    accepted = {step.task: acceptance(step, state) for step in (train, evaluate)}
    trained = state.files.exists(train.folder)
    if model.broken:
        word = "broken"
    elif any(has_failed(step, state) for step in stale):
        word = "failed"
    elif train in stale and not trained:
        word = "new"
    else:
        word = "changed" if stale else "up to date"
    return {
        "name": model.name,
        "id": model.id,
        "title": model.title,
        "framework": model.framework or "unknown",
        "state": word,
        "reasons": next((reasons[step.task] for step in stale), []),
        "datasets": list(model.dataset_names),
        # Of a training that is gone, the evaluation says nothing of what stands here now.
        "metrics": {} if word == "new" else records.metrics(evaluate.folder, state.files),
        "accepted": {task: told(one) for task, one in accepted.items() if one},
        "faults": [asdict(fault) for fault in model.faults],
    }

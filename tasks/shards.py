"""The jobs of CI for models that differ: what a matrix of GitHub's, or any other, is made of."""

from __future__ import annotations

import heapq
import shlex
import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks import basis, lookup
from tasks.errors import UserError
from tasks.fingerprint import canonical
from tasks.model import resources
from tasks.plan import ARTEFACTS, Step
from tasks.resources import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.affected import Affected
    from tasks.model import Model
    from tasks.state import State

MOST = 255
"""Jobs: GitHub takes no more than 256 from one matrix."""

MOST_REASONS = 10
"""Of one model: a job's outputs have a limit too."""

GPU = "gpu"
"""The label of a machine with a graphics processor, for models that ask for one."""


@dataclass(frozen=True)
class Job:
    """A model to build: the label of a machine for it, and the seconds that it takes if known."""

    affected: Affected
    runner: str
    amounts: Mapping[str, Any]
    environment: str
    seconds: float | None


def matrix(affected: Sequence[Affected], state: State) -> dict[str, Any]:
    """Return `{"include": [...]}`: an entry for each model, or `MOST` in all with several each.

    Entries have the same keys either way.  Models share one only where they share a runner.
    """
    jobs = [_job(one, state) for one in affected]
    if len(jobs) <= MOST:
        return {"include": [_alone(one) for one in jobs]}
    return {"include": [_together(shard) for shard in _shards(jobs, MOST)]}


def _job(one: Affected, state: State) -> Job:
    step = next(iter(one.reasons))
    amounts = _resources(one.model.document, step)
    asks = str(amounts.get("gpu", "0")).strip() not in ("", "0")
    automation = one.model.document.get("automation")
    label = automation.get("runner", "") if isinstance(automation, dict) else ""
    runner = str(label or (GPU if asks else ""))
    return Job(one, runner, amounts, _environment(one), _seconds(one, state))


def _resources(document: Mapping[str, Any], step: str) -> dict[str, Any]:
    """Return what a step may use of each resource, as `model.json` has it."""
    found: dict[str, Any] = {}
    for _, said in resources(document, step):
        for place in (said, said.get("limits"), said.get("requests")):
            for name in NAMES:
                if isinstance(place, dict) and place.get(name) not in (None, ""):
                    found.setdefault(name, place[name])
    return found


def _environment(one: Affected) -> str:
    """Return a name for what a model runs on: its lock's digest, or what it asks for."""
    model = one.model
    lock = one.now.asked.get("lock")
    return lock or canonical("asked", [model.framework, model.document.get("python")])


def _seconds(one: Affected, state: State) -> float | None:
    """Return how long the steps of a model took when they last ran, None where nobody knows."""
    found: list[float] = []
    trained = ""
    for name in basis.COMPARED:
        key = basis.keyed(one.before, name, trained) if one.before else ""
        record = lookup.last(Step(one.model, name), key, state)
        if record and name in one.reasons:
            found.append(float(record.run.get("seconds", 0)))
        trained = record.outputs.get(ARTEFACTS, "") if record else ""
    return round(sum(found), 3) if found else None


def _alone(job: Job) -> dict[str, Any]:
    one = job.affected
    reasons = list(dict.fromkeys(reason for some in one.reasons.values() for reason in some))
    return {
        "model": one.model.name,
        "models": [one.model.name],
        "steps": list(one.reasons),
        "tasks": _tasks([one.model]),
        "framework": one.model.framework,
        "environment": job.environment,
        "resources": dict(job.amounts),
        "runner": job.runner,
        "seconds": job.seconds,
        "reasons": _some(reasons),
    }


def _some(reasons: list[str]) -> list[str]:
    more = len(reasons) - MOST_REASONS
    return [*reasons[:MOST_REASONS], f"and {more} more"] if more > 0 else reasons


def _tasks(models: Sequence[Model]) -> str:
    """Return what stands behind `doit`, as a shell reads it."""
    return shlex.join(f"{basis.COMPARED[-1]}:{model.name}" for model in models)


def _together(jobs: Sequence[Job]) -> dict[str, Any]:
    """Return the entry of several models; resources are those that they agree on."""
    if len(jobs) == 1:
        return _alone(jobs[0])
    models = [job.affected.model for job in jobs]
    steps = dict.fromkeys(step for job in jobs for step in job.affected.reasons)
    known = [job.seconds for job in jobs if job.seconds is not None]
    first = jobs[0].amounts
    agreed = {k: v for k, v in first.items() if all(job.amounts.get(k) == v for job in jobs)}
    return {
        "model": f"{models[0].name} and {len(models) - 1} more",
        "models": [model.name for model in models],
        "steps": [step for step in basis.COMPARED if step in steps],
        "tasks": _tasks(models),
        "framework": " ".join(sorted({model.framework for model in models})),
        "environment": canonical("environments", sorted({job.environment for job in jobs})),
        "resources": agreed,
        "runner": jobs[0].runner,
        "seconds": round(sum(known), 3) if known else None,
        "reasons": [],
    }


def _shards(jobs: Sequence[Job], most: int) -> list[list[Job]]:
    """Share out jobs, those of a runner among themselves, so that all take about as long.

    The longest goes first, each to the shard that has least so far.
    """
    known = [job.seconds for job in jobs if job.seconds is not None]
    usual = statistics.median(known) if known else 1.0
    cost = {id(job): usual if job.seconds is None else job.seconds for job in jobs}
    groups: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        groups[job.runner].append(job)
    shards = []
    for group, count in zip(groups.values(), _counts(groups, cost, most), strict=True):
        heap = [(0.0, 0, number) for number in range(count)]
        found: list[list[Job]] = [[] for _ in range(count)]
        for job in sorted(group, key=lambda one: cost[id(one)], reverse=True):
            taken, several, number = heapq.heappop(heap)
            found[number].append(job)
            heapq.heappush(heap, (taken + cost[id(job)], several + 1, number))
        shards += found
    return shards


def _counts(groups: Mapping[str, Sequence[Job]], cost: Mapping[int, float], most: int) -> list[int]:
    """Return how many shards each runner has, by the time that its jobs take; one at least.

    Raises UserError where there are more runners than there may be shards.
    """
    spare = most - len(groups)
    if spare < 0:
        raise UserError(
            f"The models name {len(groups)} runners, and a matrix has room for {most} jobs",
            hint="`automation.runner` in model.json is the label of a kind of machine",
        )
    times = [sum(cost[id(job)] for job in group) for group in groups.values()]
    whole = sum(times) or 1.0
    shares = [1 + int(spare * time / whole) for time in times]
    return [min(share, len(group)) for share, group in zip(shares, groups.values(), strict=True)]

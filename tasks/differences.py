"""What each model measures and is made from now, beside another commit: values.

Results are found by their keys, those of now as well: an edit that nobody has trained yet has no
metrics.  Nothing is run for it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks import basis, looks, lookup
from tasks.comparison import Change, compare
from tasks.plan import ARTEFACTS, TRAINED, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.affected import Affected, Found
    from tasks.basis import Basis
    from tasks.lookup import Result
    from tasks.state import State

KINDS = ("parameter", "data", "package", "input")
"""What can differ besides metrics; an input is what else counts for a step."""

NOW = "now"
UNKNOWN = "not known"

_DATA = ("data ", "dataset")


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was; None where there was, or is, no such thing.

    For data and inputs the values are digests, where they are long.
    """

    kind: str
    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Compared:
    """A model beside itself: `state` is `differs`, `new` or `gone`.

    `notes` say why there are no metrics, or why it cannot run.
    """

    name: str
    state: str
    metrics: tuple[Change, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """All that differs from a commit, and how many models do not."""

    revision: str
    commit: str
    models: tuple[Compared, ...]
    same: int


def since(revision: str, found: Found, state: State) -> Comparison:
    """Return what differs, measured and made from, of the models that were found to differ."""
    models = [_compared(one, revision, state) for one in found.affected]
    gone = [_gone(one, revision, state) for one in found.gone]
    same = len(looks.model_folders()) - len(models)
    return Comparison(revision, found.commit, (*models, *gone), same)


def _compared(one: Affected, revision: str, state: State) -> Compared:
    old = _measured(one.before, state) if one.before else None
    new = _measured(one.now, state)
    before, after = old.metrics if old else {}, new.metrics if new else {}
    metrics = compare(before, after, one.model.thresholds)
    notes = [*(_note(one.before, old, revision) if one.before else ()), *_note(one.now, new, NOW)]
    return Compared(
        one.model.name,
        "differs" if one.before else "new",
        tuple(change for change in metrics if (change.before, change.after) != (None, None)),
        tuple(_differences(one.before, one.now)) if one.before else (),
        tuple(notes),
    )


def _gone(before: Basis, revision: str, state: State) -> Compared:
    old = _measured(before, state)
    metrics = compare(old.metrics if old else {}, {}, {})
    return Compared(before.model.name, "gone", metrics, (), tuple(_note(before, old, revision)))


def _measured(one: Basis, state: State) -> Result | None:
    """Return the evaluation of a model as it is on a basis, None where nobody has it.

    What it was evaluated on is what its training made, so that is looked for first.
    """
    train, evaluate = (Step(one.model, name) for name in basis.COMPARED)
    trained = lookup.result(train, basis.keyed(one, train.name), state)
    if trained is None:
        return None
    made = trained.record.outputs[ARTEFACTS]
    return lookup.result(evaluate, basis.keyed(one, evaluate.name, made), state)


def _note(one: Basis, result: Result | None, when: str) -> Iterator[str]:
    if one.faults:
        yield from (f"{when}: {fault}" for fault in one.faults)
    elif not one.located:
        yield f"{when}: {UNKNOWN}: its environment is not locked, or cannot be had on this machine"
    elif result is None:
        yield f"{when}: {UNKNOWN}: no result with this key in the store"


def _differences(before: Basis, after: Basis) -> Iterator[Difference]:
    """Yield what is not as it was; what is told in parts is not told as a whole.

    Of a model that cannot run nothing is told but why.
    """
    if before.faults or after.faults:
        return
    old, new = (_flat(one.model.config) for one in (before, after))
    parameters = list(_changed("parameter", old, new))
    packages = list(_changed("package", before.pins, after.pins))
    told = {"environment lock"} if packages else set()
    told |= {"file config.json"} if parameters else set()
    old, new = (_inputs(one) for one in (before, after))
    rest = [one for one in _changed("input", old, new) if one.name not in told]
    data = [one for one in rest if one.name.startswith(_DATA)]
    yield from parameters
    for one in data:
        yield Difference("data", one.name.removeprefix("data "), one.before, one.after)
    yield from packages
    yield from (one for one in rest if one not in data)


def _inputs(one: Basis) -> dict[str, str]:
    """Return what the steps of a model are made from; what they have in common stands there once.

    Each has a dataset of its own.
    """
    found: dict[str, str] = {}
    for step, inputs in one.inputs.items():
        found |= {(f"dataset of {step}" if k == "dataset" else k): v for k, v in inputs.items()}
    return {k: v for k, v in found.items() if k != TRAINED}


def _changed(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield Difference(kind, name, old.get(name), new.get(name))


def _flat(value: Mapping[str, Any], way: str = "") -> dict[str, Any]:
    """Return the values of a JSON object by their dotted names; a list is a value."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item:
            found |= _flat(item, f"{way}{key}.")
        else:
            found[f"{way}{key}"] = json.dumps(item) if isinstance(item, (dict, list)) else item
    return found

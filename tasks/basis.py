"""What counts for the steps of a model, now or at a commit, in a form that can be compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks import discover, plan, records
from tasks.environments import build, lock_file, requirements
from tasks.errors import UserError
from tasks.explain import packages_changed
from tasks.model import STEPS, Model
from tasks.plan import TRAINED, Step
from tasks.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.revision import Revision
    from tasks.state import State

COMPARED = STEPS[:2]
"""The steps that `doit` runs, on the default datasets."""

_ENVIRONMENT = "environment"


@dataclass(frozen=True)
class Basis:
    """A model and all that its steps depend on, by step and by name; `faults` where it cannot run.

    What counts of the environment is in there where this machine can say it (`located`); `asked`
    is what the repository says of it, which is the same on any machine.  `pins` are the versions
    of its packages.
    """

    model: Model
    inputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    located: bool = False
    asked: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)


def now(folder: str, state: State) -> Basis:
    """Return a model as it is in the working directory."""
    return _taken(discover.read_model(folder, state.files), state)


def then(folder: str, revision: Revision) -> Basis:
    """Return a model as it was at a commit; to be called `there`."""
    return _taken(revision.model(folder), revision.state)


def _taken(model: Model, state: State) -> Basis:
    faults = [str(fault) for fault in model.faults if not fault.warning]
    if faults:
        return Basis(model, faults=tuple(faults))
    try:
        environment = build.find(model, state)
    except (UserError, OSError):
        environment = None  # `asked` says what there is to say
    try:
        identity = environment.identity if environment else None
        found = {n: plan.inputs(Step(model, n), state.files, identity) for n in COMPARED}
    except UserError as error:
        return Basis(model, faults=(error.headline,))
    except OSError as error:
        return Basis(model, faults=(f"`{error.filename}` cannot be read: {error.strerror}",))
    lock = lock_file.read_lock(model, state.files)
    asked = dict(_asked(model, lock, state))
    return Basis(model, found, (), environment is not None, asked, lock.versions if lock else {})


def _asked(model: Model, lock: lock_file.Lock | None, state: State) -> Iterator[tuple[str, str]]:
    """Yield what the repository says of a model's environment."""
    if lock:
        yield "lock", lock.digest
        yield from (("library", line) for line in lock.library)
    try:
        wanted = requirements.read(model, state)
        yield "requirements", requirements.wanted(wanted, state.files)
        for package in wanted.packages:
            digest = requirements.package_digest(package.path, state.files)
            yield f"package {package.path}", digest
    except UserError as error:
        yield "requirements", error.headline
    except OSError as error:
        yield "requirements", f"`{error.filename}` cannot be read: {error.strerror}"


def differences(before: Basis, after: Basis, step: str) -> list[str]:
    """Return a sentence for each input of a step that differs, as `doit why` has them.

    What training has made is left out: it is the same where all that training depends on is.
    """
    if after.faults and after.faults == before.faults:
        return []
    if after.faults:
        return [f"the model has faults: {fault}" for fault in after.faults]
    if before.faults:
        return [f"it could not run before: {fault}" for fault in before.faults]
    whole = before.located and after.located
    old, new = (_comparable(one, step, whole=whole) for one in (before, after))
    found: list[str] = []
    for sentence in records.changes(Record("", {"inputs": old}), new):
        if sentence == f"{_ENVIRONMENT} lock changed":
            found += packages_changed(before.pins, after.pins) or [sentence]
        else:
            found.append(sentence)
    return found


def _comparable(basis: Basis, step: str, *, whole: bool) -> dict[str, str]:
    inputs = {k: v for k, v in basis.inputs[step].items() if k != TRAINED}
    if whole:
        return inputs
    kept = {k: v for k, v in inputs.items() if not k.startswith(_ENVIRONMENT)}
    return kept | {f"{_ENVIRONMENT} {name}": value for name, value in basis.asked.items()}


def keyed(basis: Basis, step: str, trained: str = "") -> str:
    """Return the key of a step; `trained` is the digest of what training has made.

    It is empty where there can be no result: the model cannot run, or its environment not be told.
    """
    if not basis.located:
        return ""
    inputs = dict(basis.inputs[step])
    if TRAINED in inputs:
        inputs[TRAINED] = trained
    return plan.key(Step(basis.model, step), inputs)

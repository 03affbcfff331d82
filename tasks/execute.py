"""Carry out one step: take its result where it is known, else make it.

What that is in order: `preparation` has the environment and the inputs, `attempts` tries again,
and `local` runs, checks and records, or `remote` has that done elsewhere.

A result is published by pointing `build/models/<model>/<step>` at its folder in one move, after
all that is in it has reached the disk.  Until then the result before it stands; a run that fails
is kept apart, one that is killed is swept away by the next.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tasks import (
    attempts,
    local,
    plan,
    preparation,
    records,
    remote,
    runs,
    store,
)
from tasks.environments import build
from tasks.errors import UserError
from tasks.folders import remove_tree
from tasks.places import HERE, On

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.fingerprint import Files
    from tasks.plan import Step
    from tasks.preparation import Attempt, Prepared
    from tasks.progress import Activity
    from tasks.records import Record
    from tasks.state import State


@dataclass(frozen=True)
class Outcome:
    """What came of a step: `state` is `ran`, `restored` (from the store) or `current`.

    `seconds` is how long that took, once there was room for it; `saved` is how long a restored
    result took to make.  `usage` is what its processes used when it was made.
    """

    state: str
    folder: str
    seconds: float = 0.0
    saved: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    message: str = ""
    usage: Mapping[str, float] = field(default_factory=dict)


def run_step(  # noqa: PLR0913 - two by name
    step: Step,
    state: State,
    activity: Activity,
    on: On = HERE,
    *,
    force: bool = False,
    twice: bool = False,
) -> Outcome:
    """Make a step's result current and return what came of it.

    `on` is where it runs, if it must.  With `force` it runs although its result is current; with
    `twice` it runs a second time and the artefacts are compared.  Raises UserError; whatever it
    raises, what was published before still stands, and nothing half-made does.
    """
    started = time.monotonic()
    if twice and on.elsewhere:
        raise UserError(
            f"`--twice` compares runs on one machine, and not on {on.name}",
            hint="add `--on local`",
        )
    if on.enforce and on.elsewhere and not on.elsewhere.limits:
        raise UserError(
            f"`--enforce` holds processes of this machine, and not on {on.name}",
            hint="add `--on local`, or leave it out",
        )
    try:
        activity.say(runs.WAITING)
        with runs.hold(runs.lock_of(step)):
            anew = force or twice
            if anew and on.attempt in (None, 1):
                remove_tree(step.checkpoint_folder)
            found, tried = (None, {}) if anew else _found(step, state, activity)
            if found is None:
                prepared = preparation.prepare(step, state, activity)
                if not anew and prepared.inputs != tried:
                    found = _known(prepared.step, prepared.inputs, state, activity)
            if found:
                return replace(found, seconds=time.monotonic() - started)
            _run(prepared, state, activity, on, force=force, fresh=twice)
            message = _run_again(prepared, state, activity, on) if twice else ""
    except OSError as error:
        raise _unwritable(step, error) from error
    seconds = time.monotonic() - started - activity.waited
    measured, made = _metrics(step, state.files), records.read(step.folder, state.files)
    used, message = made.usage if made else {}, message or _of_attempts(made)
    return Outcome("ran", step.folder, seconds, metrics=measured, message=message, usage=used)


def _found(
    step: Step, state: State, activity: Activity
) -> tuple[Outcome | None, Mapping[str, str]]:
    """Return what came of a step whose result is there by now or stored, else None.

    Nothing is built or fetched for that.  The inputs that were tried are returned as well.
    """
    step = preparation.read_again(step, state)
    try:
        environment = build.find(step.model, state)
    except UserError:  # told when it is to be built
        return None, {}
    if environment is None:
        return None, {}
    inputs = plan.inputs(step, state.files, environment.identity)
    return _known(step, inputs, state, activity), inputs


def _known(
    step: Step, inputs: Mapping[str, str], state: State, activity: Activity
) -> Outcome | None:
    """Return what came of a step with these inputs whose result is there or stored, else None."""
    made = records.read(step.folder, state.files)
    if made and not records.reasons(made, inputs, state.files):
        measured = _metrics(step, state.files)
        return Outcome("current", step.folder, metrics=measured, usage=made.usage)
    if not store.serves(step):
        return None
    activity.say("store")
    record = store.restore(step, inputs, state, activity.alerts.append)
    if record is None:
        return None
    metrics = _metrics(step, state.files)
    message, saved = _of_attempts(record), record.run["seconds"]
    return Outcome("restored", step.folder, 0.0, saved, metrics, message, record.usage)


def _run(  # noqa: PLR0913 - two by name
    prepared: Prepared, state: State, activity: Activity, on: On, *, force: bool, fresh: bool
) -> None:
    """Run a step, as often as it may be tried, and publish what it made."""

    def act(attempt: Attempt) -> None:
        if on.elsewhere:
            remote.carry_out(on.elsewhere, attempt, force=force)
        else:
            local.carry_out(attempt, on)

    attempts.until_made(prepared, state, activity, on, act, fresh=fresh)


def _of_attempts(record: Record | None) -> str:
    """Return what is to be told of how a result came to be, mostly nothing."""
    run = record.run if record else {}
    number = run.get("attempts", 1)
    parts = [f"{attempts.ordinal(number)} attempt"] if number > 1 else []
    return ", ".join([*parts, "from a checkpoint"] if run.get("resumed") else parts)


def _unwritable(step: Step, error: OSError) -> UserError:
    file = error.filename2 or error.filename  # of two, the one that was to be made
    return UserError(
        f"The {step.name} step of model `{step.model.name}` cannot be carried out here",
        *([("file", file)] if file else []),
        ("reason", error.strerror or error),
        hint=f"see that the disk has room and that `{step.build}/` can be written to"
        if os.path.abspath(file or step.build).startswith(os.path.abspath(step.build))
        else "see that the file is there and can be read",
    )


def _run_again(prepared: Prepared, state: State, activity: Activity, on: On) -> str:
    """Run a step once more, apart, and say whether it made the same bytes.

    Raises UserError, with the files that differ, where it did not.
    """
    activity.say("second run")
    first = records.read(prepared.step.folder, state.files)
    with attempts.attempted(prepared, state, activity, on, fresh=True) as attempt:
        made = local.make(attempt, on)
    before = _artefacts(first)
    after = {name: facts["sha256"] for name, facts in made.artefacts.items()}
    different = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    if made.metrics != records.measured(prepared.step.folder):
        different.append(records.METRICS)
    if different:
        raise UserError(
            f"The {prepared.step.name} step of model `{prepared.step.model.name}` is not"
            " reproducible: two runs on the same inputs made different files",
            *(("differs", name) for name in different),
            hint="seed what is random; the first of the two results was kept",
        )
    return "reproducible to the byte"


def _artefacts(record: Record | None) -> dict[str, str]:
    """Return the digest of each artefact of a result."""
    outputs = record.outputs if record else {}
    own = (plan.ARTEFACTS, records.LOG, records.METRICS)
    kept = {name for name in outputs if not name.startswith(f"{records.LOGS}/")}
    return {name: outputs[name] for name in kept.difference(own)}


def _metrics(step: Step, files: Files) -> dict[str, float]:
    return records.metrics(step.folder, files)

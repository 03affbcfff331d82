"""Accept a change that cannot matter: a result becomes current for other inputs than its own.

The record keeps what the result was made from; what is accepted stands beside it, with who says so
and why.  It is published as any result is: the same files under a new record.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from tasks import discover, explain, git, metrics, plan, records, results, runs, sources, store
from tasks.environments import build
from tasks.errors import InvalidModel, UserError
from tasks.folders import link_or_copy
from tasks.records import Acceptance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasks.plan import Step
    from tasks.records import Record
    from tasks.state import State


def accept(step: Step, why: str, state: State, say: Callable[[str], None]) -> Acceptance:
    """Make a step's result current for its inputs as they are now, and return what is recorded.

    Nothing is run or built; `say` is told where it cannot be stored.  Raises UserError where it
    would be a lie, or cannot be known.
    """
    why = _line(why)
    if not why:
        raise UserError(f"An acceptance of `{step.task}` needs a reason", hint='`--why "..."`')
    try:
        with runs.alone(step):
            results.look_again(step, state.files)
            step = replace(step, model=discover.read_again(step.model, state.files))
            record = _result(step, state)
            accepted = _acceptance(step, record, why, state)
            _publish(step, record, accepted, state, say)
    except OSError as error:
        raise UserError(
            f"`{step.task}` cannot be accepted here",
            ("file", error.filename),
            ("reason", error.strerror or error),
            hint=f"see that the file is there, and that `{step.build}/` can be written to",
        ) from error
    return accepted


def _result(step: Step, state: State) -> Record:
    """Return the result that a step has.  Raises UserError where it has none, or a damaged one."""
    if step.model.broken:
        raise InvalidModel(step.model.name, step.model.faults)
    record = records.read(step.folder, state.files)
    run = f"`doit {step.task}` makes one"
    if record is None:
        raise UserError(f"`{step.task}` has no result that could be accepted", hint=run)
    damage = records.damage(record, state.files)
    if damage:
        facts = (("damaged", sentence) for sentence in damage)
        raise UserError(f"The result of `{step.task}` is damaged", *facts, hint=run)
    return record


def _acceptance(step: Step, record: Record, why: str, state: State) -> Acceptance:
    """Return what is to be recorded.  Raises UserError where it must not be."""
    upstream = step.upstream
    if upstream and explain.why(upstream, state):
        raise UserError(
            f"`{upstream.task}` is not up to date, and `{step.task}` works on what it makes",
            *(("", reason) for reason in explain.explain(upstream, state)),
            hint=f"run or accept `{upstream.task}` first",
        )
    environment = build.find(step.model, state)
    if environment is None:
        raise UserError(
            f"Model `{step.model.name}` has no lock that fits its requirements",
            hint=f"`doit env:{step.model.name}` makes one; what it changes can be accepted then",
        )
    inputs = plan.inputs(step, state.files, environment.identity)
    if not records.changes(record, inputs):
        raise UserError(f"`{step.task}` is up to date: there is nothing to accept")
    _check(step, record, inputs, state)
    key = plan.key(step, inputs)
    stored = store.recorded(key)
    if stored and stored.key == key and not store.forgotten(key, lambda _text: None):
        raise UserError(
            f"The store has a result of `{step.task}` that was made from what it reads now",
            ("made", stored.run["started"]),
            hint=f"`doit {step.task}` restores it",
        )
    return Acceptance(
        inputs,
        key,
        tuple(explain.explain(step, state)),
        why,
        _who(),
        records.utc(time.time()),
    )


def _check(step: Step, record: Record, inputs: Mapping[str, str], state: State) -> None:
    """Raise UserError for a change that nobody can call none."""
    if inputs.get(plan.TRAINED) != record.inputs.get(plan.TRAINED):
        raise UserError(
            f"`{step.task}` worked on another model: training has left other artefacts since",
            hint=f"`doit {step.task}` runs it on these",
        )
    missing = [name for name, value in inputs.items() if value == plan.MISSING]
    if missing:
        facts = (("missing", name) for name in missing)
        raise UserError(f"`{step.task}` lacks what it reads", *facts, hint="put it there")
    wrong = sources.unparsed(step.name, step.model, state.files)
    lacking = sources.missing(step.name, step.model, state.files)
    if wrong or lacking:
        raise UserError(
            f"`{step.task}` cannot run with the sources as they are now",
            *(("cannot be parsed", f"{name}: {why}") for name, (_, why) in wrong.items()),
            *(("missing", name) for name in lacking),
            hint=f"`doit why {step.task}` tells what changed",
        )
    if explain.has_failed(step, state):
        raise UserError(
            f"A run of `{step.task}` on these inputs failed, so that the change may matter",
            ("kept", step.failed_folder),
            hint="remove that folder if the reason was another",
        )
    thresholds = step.model.thresholds
    if step.name == "evaluate":
        measured = records.measured(record.folder) or {"metrics": {}}
        metrics.check_thresholds(measured["metrics"], thresholds, step.model.name)


def _line(text: str) -> str:
    """Return a text as it can stand in a line, on any terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _who() -> str:
    """Return who does this: by the name that Git has, else by the login."""
    with contextlib.suppress(UserError):
        if name := _line(git.ask("config", "user.name")):
            return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        return f"user {os.getuid()}"


def _publish(
    step: Step, record: Record, accepted: Acceptance, state: State, say: Callable[[str], None]
) -> None:
    """Publish the files of a result once more, under a record with an acceptance more.

    It is filed by the accepted key, beside what is filed by its own.
    """
    with runs.fresh_run(step) as run:
        for name in record.outputs:
            os.makedirs(os.path.dirname(f"{run.work}/{name}"), exist_ok=True)
            link_or_copy(f"{record.folder}/{name}", f"{run.work}/{name}")
        entries = [*record.run.get("accepted", ()), asdict(accepted)]
        records.write_run(run.work, {**record.run, "accepted": entries})
        results.settle(run.work)
        store.keep(run.work, say, accepted.key, fetched=store.unsigned(record))
        results.publish(run, step, state.files)
        store.share(accepted.key, run.scratch, say)

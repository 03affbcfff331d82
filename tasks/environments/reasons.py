"""What is told of a model's environment: why it must be built, and why on that Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.environments import build, lock_file, locks
from tasks.environments.days import was_out
from tasks.environments.requirements import read
from tasks.errors import UserError

if TYPE_CHECKING:
    from tasks.environments.build import Environment
    from tasks.model import Model
    from tasks.state import State


def why_built(model: Model, state: State) -> list[str]:
    """Return why a model's environment must be built, a sentence each; empty where it is there."""
    try:
        environment = build.find(model, state)
        if environment is None:
            return [unlocked(model, state)]
    except UserError as error:
        return [error.headline]
    if environment.built:
        return []
    return [f"none is there for this lock and Python, in {environment.folder}"]


def unlocked(model: Model, state: State) -> str:
    """Return why a model has no environment that could be built as it is."""
    requirements = read(model, state)
    lock = lock_file.read_lock(model, state.files)
    if lock is None and not requirements.empty:
        return f"{requirements.path} has no whole lock yet"
    if not requirements.empty and not locks.fitting(model, requirements, state):
        return f"what {requirements.path} and `python` ask for changed since it was locked"
    return f"no Python that it can run on is installed ({requirements.python})"


def choice(model: Model, state: State) -> list[str]:
    """Return which Python a model's environment is on and why, and what else its lock tells.

    Empty where that is not known yet.
    """
    try:
        environment = build.find(model, state)
    except UserError:
        return []
    if environment is None:
        return []
    lock, day = environment.lock, environment.requirements.as_of
    told = [f"on Python {environment.interpreter.version}: {_chosen(environment)}"]
    if lock is None:
        return [*told, "it needs no packages"]
    if day and not lock.as_of:
        told.append(f"as of: {day}, by `resolveAsOf` in {model.folder}/model.json")
    return [*told, *lock.notes, f"locked in {lock.path}"]


def _chosen(environment: Environment) -> str:
    """Return why an environment is on its Python."""
    minor, lock = environment.interpreter.minor, environment.lock
    newest = f"the newest installed one that is {environment.requirements.python}"
    if lock is None:
        return newest
    if lock.minor != minor:
        return f"of those installed the nearest to {lock.minor}, which it was locked on"
    day = lock.as_of or environment.requirements.as_of
    if day and not was_out(minor, day):
        newest = f"the oldest that was installed, for none of them was out on {day}"
    elif day:
        newest += f" and was out on {day}"
    if any(note.startswith("not on ") for note in lock.notes):
        return f"{newest}, and on which its requirements can be met"
    return newest

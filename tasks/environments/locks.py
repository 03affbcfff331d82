"""Locks: every package of a model's environment, with its version and hashes.

`requirements.txt` says what a model wants; the lock in `envs/locks/` says what it gets, here and
on a colleague's machine.  What packages of this repository need is locked with the rest, and so is
what they are built with; their own bytes count as they are and stand in no lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import frameworks
from tasks.datasets import cache_folder
from tasks.environments import lock_file
from tasks.environments.days import of_the_time
from tasks.environments.interpreters import Interpreter, allowed, installed
from tasks.environments.lock_file import Lock, lock_path, read_lock
from tasks.environments.requirements import Requirements, read, wanted
from tasks.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.environments.resolve import Answer
    from tasks.fingerprint import Files
    from tasks.model import Model
    from tasks.state import State


def fitting(model: Model, requirements: Requirements, state: State) -> Lock | None:
    """Return a model's lock where it answers these requirements; None where there are none."""
    if requirements.empty:
        return None
    lock = read_lock(model, state.files)
    if lock is None or lock.requirements != wanted(requirements, state.files):
        return None
    return None if library_identity(model, lock, state) is None else lock


def library_identity(model: Model, lock: Lock | None, state: State) -> dict[str, str] | None:
    """Return what counts of the packages that uv knows nothing of; None where the lock is old."""
    library = frameworks.language(model).library
    return library.identity(model, lock.library if lock else (), state) if library else {}


def choose(lock: Lock | None, requirements: Requirements, state: State) -> Interpreter | None:
    """Return the interpreter for a lock: of the minor version nearest to that it was made with.

    Without a lock it is the best that the model allows; None where none is installed.
    """
    candidates = allowed(requirements.python, installed(state))
    if lock is None:
        return candidates[0] if candidates else None
    made_with = int(lock.minor.split(".")[1])
    return min(
        allowed(lock.bound, candidates),
        key=lambda one: abs(int(one.minor.split(".")[1]) - made_with),
        default=None,
    )


@contextlib.contextmanager
def _held(path: str) -> Iterator[None]:
    """Keep others who would make the same lock waiting."""
    os.makedirs("build/held", exist_ok=True)
    with open(f"build/held/{path.replace('/', '--')}", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_lock(
    model: Model,
    state: State,
    *,
    say: Callable[[str], None],
    upgrade: bool,
    as_of: str = "",
) -> bool:
    """Resolve a model's requirements and write its lock, on the best Python that has an answer.

    Pins of an older lock are kept where they still fit, and so is the day `as_of` that it was asked
    for with, unless `upgrade` is set; without it a lock that somebody else has made meanwhile will
    do.  Returned is whether there was anything to lock.  Raises UserError with the resolver's own
    explanation where no installed Python has an answer.
    """
    path = lock_path(model)
    with _held(path):
        requirements = read(model, state)
        state.files.forget([path, *requirements.files])
        requirements = read(model, state)
        if requirements.empty:
            return False
        if not upgrade and fitting(model, requirements, state):
            return True
        if not (upgrade or as_of) and _taken_over(model, requirements, state):
            return True
        as_of = as_of or ("" if upgrade else _as_of(model, state.files))
        asked = replace(requirements, as_of=as_of or requirements.as_of)
        candidates = of_the_time(allowed(asked.python, installed(state)), asked.as_of)
        if not candidates:
            raise no_python(model, None, requirements, state)
        lines = _lock_library(model, state, say=say, upgrade=upgrade)
        kept = "" if upgrade else lock_file.pins_of(path)
        from tasks.environments import resolve  # noqa: PLC0415 - slow to import, seldom needed

        try:
            answer = resolve.resolve(model, asked, candidates, kept=kept, say=say)
        except UserError as error:
            _check_lines(error, model, state)
            raise
        notes = [f"package: {one.path}{one.extras}" for one in requirements.packages]
        notes += [*_notes(answer, as_of), *lines]
        lock_file.write(model, wanted(requirements, state.files), answer, notes, state.files)
    return True


def _check_lines(error: UserError, model: Model, state: State) -> None:
    """Raise, in place of what could not be resolved, the lines that nothing can answer."""
    from tasks.environments import faults  # noqa: PLC0415 - slow to import, seldom needed

    if wrong := [("", fault) for fault in faults.of_requirements(model, state)]:
        hint = f"`doit check {model.name}` shows the same, and locks nothing"
        raise UserError(error.headline, *wrong, hint=hint) from error


def _taken_over(model: Model, requirements: Requirements, state: State) -> bool:
    """Give a model that has no lock that of another one which asks for the same.

    Models that ask for the same run on the same, and resolving takes its time.  Returned is whether
    there was such a lock, for a Python that is installed.
    """
    path = lock_path(model)
    if os.path.exists(path) or frameworks.language(model).library:
        return False
    asked = wanted(requirements, state.files)
    for other in sorted(Path(path).parent.glob("*.txt")):
        with contextlib.suppress(UserError, OSError):
            lock = lock_file.read_at(str(other), other.stem, state.files)
            same = lock and lock.requirements == asked and not lock.as_of
            if same and choose(lock, requirements, state):
                lock_file.copy(other, model, state.files)
                return True
    return False


def _notes(answer: Answer, as_of: str) -> list[str]:
    """Return the lines of a lock that tell how it came about."""
    return [
        *([f"as of: {as_of}, by --as-of"] if as_of else []),
        *(f"not on {', '.join(minors)}: {why}" for why, minors in answer.refused.items()),
        *answer.notes,
    ]


def _as_of(model: Model, files: Files) -> str:
    """Return the day that a model's lock was asked for with."""
    lock = read_lock(model, files)
    return lock.as_of if lock else ""


def _lock_library(
    model: Model, state: State, *, say: Callable[[str], None], upgrade: bool
) -> list[str]:
    """Return the lines of a lock about packages that uv knows nothing of."""
    library = frameworks.language(model).library
    if library is None:
        return []
    before = None if upgrade else read_lock(model, state.files)
    kept = before.library if before else ()
    lines = library.lock(model, kept, state, cache_folder(), say)
    return [f"{library.kind}: {line}" for line in lines]


def no_python(
    model: Model, lock: Lock | None, requirements: Requirements, state: State
) -> UserError:
    """Return the error for a model whose Python is not installed."""
    needs = f"{requirements.python}, and {lock.bound} by its lock" if lock else requirements.python
    locking = f"; `doit lock:{model.name}` locks it for what is installed" if lock else ""
    return UserError(
        f"Model `{model.name}` needs a Python that is not installed",
        ("needs", needs),
        ("installed", ", ".join(one.version for one in installed(state)) or "none"),
        hint="install it (its folder on PATH, or with pyenv or `uv python install`),"
        f" or change `python` in {model.folder}/model.json{locking}",
    )

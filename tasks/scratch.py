"""Run a step of a model apart from the build: the same way, into a folder of its own.

That folder is laid out as `build/` is.  Nothing there counts for the build, and nothing of the
build's results is changed.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from tasks import plan, results
from tasks.execute import run_step
from tasks.explain import why
from tasks.places import HERE, On

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.execute import Outcome
    from tasks.plan import Step
    from tasks.progress import Activity
    from tasks.state import State


def run(
    step: Step,
    state: State,
    activity_of: Callable[[Step], Activity],
    say: Callable[[str], None],
    on: On = HERE,
) -> Outcome:
    """Run a step whose `build` is a folder of its own, and return what came of it.

    What it needs of training is taken from there, from the build, or made first.  `activity_of`
    is called as each step starts; `say` is told what is done about the training.  Raises UserError.
    """
    results.sweep(step.build)
    if step.upstream:
        _train(step.upstream, state, activity_of, say)
    return run_step(step, state, activity_of(step), on, force=True)


def _train(
    step: Step, state: State, activity_of: Callable[[Step], Activity], say: Callable[[str], None]
) -> None:
    """Make a training current in the folder of its own."""
    built = replace(step, build=plan.BUILD)
    if not why(step, state):
        say(f"the training is that of {step.folder}")
    elif not why(built, state):
        say(f"the training is that of {built.folder}")
        _borrow(built, step)
        results.look_again(step, state.files)
    else:
        say(f"{built.folder} is not up to date: {step.task} runs first")
        run_step(step, state, activity_of(step))


def _borrow(built: Step, step: Step) -> None:
    """Let a step's result be that of the build, by a link to it."""
    os.makedirs(os.path.dirname(step.folder), exist_ok=True)
    link = f"{step.folder}.new"
    os.symlink(os.path.realpath(built.folder), link)
    os.replace(link, step.folder)

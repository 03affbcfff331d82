"""Try a step until it has made a result: each attempt in a fresh folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from tasks import admission, checkpoints, preparation, processes, retries, runs
from tasks.errors import AttemptFailed, UserError
from tasks.folders import remove_tree
from tasks.preparation import Attempt
from tasks.progress import followed
from tasks.records import LOG, LOGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.places import On
    from tasks.plan import Step
    from tasks.preparation import Prepared
    from tasks.progress import Activity
    from tasks.runs import Run
    from tasks.state import State

EARLIER = "earlier"
"""The folder beside a run's log with those of the attempts before it."""

_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_WHY = {
    "oom": "memory ran out",
    "preempted": "its machine was taken away",
    "lost": "it was lost",
    "timeout": "it took too long",
    "error": "it failed",
}


def until_made(  # noqa: PLR0913 - what an attempt is given
    prepared: Prepared,
    state: State,
    activity: Activity,
    on: On,
    act: Callable[[Attempt], None],
    *,
    fresh: bool,
) -> None:
    """Act until a result is made, as often as `model.json` says.

    A `fresh` attempt neither goes on from a checkpoint nor leaves any.  Raises UserError where the
    last attempt failed, or one in a way that is not tried again.
    """
    step = prepared.step
    policy = retries.of(step.model.document, step.name)
    number, last = on.attempt or 1, on.attempt or 1 + (0 if on.terminal else policy.retries)
    while True:
        try:
            with attempted(prepared, state, activity, on, number, fresh=fresh) as attempt:
                act(attempt)
                return
        except AttemptFailed as error:
            error.again = error.reason in policy.reasons and not processes.stopping()
            if number >= last or not error.again:
                raise
            pause = retries.pause(number)
            activity.alerts.append(
                f"{ordinal(number)} attempt: {_WHY[error.reason]} ({error.headline});"
                f" tried again in {pause:g} s"
            )
        number += 1
        activity.say(f"waiting for the {ordinal(number)} attempt")
        processes.pause(pause)


@contextlib.contextmanager
def attempted(  # noqa: PLR0913 - what an attempt is given
    prepared: Prepared,
    state: State,
    activity: Activity,
    on: On,
    number: int = 1,
    *,
    fresh: bool = False,
) -> Iterator[Attempt]:
    """Give a fresh folder for a run, as soon as this machine has room for it if it is to run here.

    What it has left is kept where it fails.
    """
    step = prepared.step
    with (
        contextlib.nullcontext() if on.elsewhere else admission.admitted(step, activity),
        runs.fresh_run(step) as run,
        followed(step, run.progress, activity) as watcher,
    ):
        _bring_logs(run, step, number)
        attempt = Attempt(prepared, run, state, activity, watcher, number, fresh)
        try:
            yield attempt
        except BaseException as error:
            _keep_checkpoint(error, attempt)
            if isinstance(error, UserError):
                _keep_evidence(error, run, prepared)
            raise


def ordinal(number: int) -> str:
    """Return a number as people count."""
    return _ORDINALS[number - 1] if number <= len(_ORDINALS) else f"{number}th"


def _bring_logs(run: Run, step: Step, number: int) -> None:
    """Bring the logs of the attempts before this one, which the last of them has left."""
    there = step.failed_folder
    if number > 1 and os.path.exists(f"{there}/{LOG}"):
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{there}/{EARLIER}", f"{run.folder}/{EARLIER}")
        os.makedirs(f"{run.folder}/{EARLIER}", exist_ok=True)
        shutil.copyfile(f"{there}/{LOG}", f"{run.folder}/{EARLIER}/attempt-{number - 1}.log")


def add_logs(run: Run) -> None:
    """Put the logs of the attempts before into what the step has left."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(f"{run.folder}/{EARLIER}"):
            os.makedirs(f"{run.work}/{LOGS}", exist_ok=True)
            os.replace(f"{run.folder}/{EARLIER}/{name}", f"{run.work}/{LOGS}/{name}")


def _keep_checkpoint(error: BaseException, attempt: Attempt) -> None:
    """Keep the checkpoint of an attempt that came to no end of its own.

    Where what it reads changed while it ran, nobody could say what that was made from.
    """
    plain = isinstance(error, UserError) and not isinstance(error, AttemptFailed)
    if plain or not checkpoints.exists(attempt.run.folder):
        return
    with contextlib.suppress(UserError, OSError):
        preparation.check_inputs(attempt.prepared, attempt.state)
        blamed = isinstance(error, AttemptFailed) and error.reason == "error"
        kept = checkpoints.keep(attempt.run.folder, blamed=blamed)
        if kept and isinstance(error, UserError):
            error.facts += (("checkpoint", kept),)


def _keep_evidence(error: UserError, run: Run, prepared: Prepared) -> None:
    """Keep a failed run's folder in a place that can be told, and have the error tell it.

    A run that was interrupted has not failed.
    """
    if processes.stopping():
        return
    kept = prepared.step.failed_folder
    with contextlib.suppress(OSError):
        remove_tree(kept)
        os.makedirs(os.path.dirname(kept), exist_ok=True)
        with open(f"{run.folder}/{os.path.basename(prepared.step.failed_key)}", "w") as file:
            file.write(prepared.key)
        os.replace(run.folder, kept)
        error.facts += (("kept", kept),)

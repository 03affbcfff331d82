"""Carry out a step that was sent here: `python -m tasks.worker KEY`.

`MODEL_STORE` names the store that the request is in, and where the result goes.  What the model
prints and the news of its progress go to stdout.  Exit status 0: the result is in the store under
the key; 1: it is not, and the last news says why; 65: the same, and another try is of no use.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from tasks import answers, execute, news, preparation, processes, requests, retries, shared, store
from tasks.errors import AttemptFailed, UserError
from tasks.objects import Unsound
from tasks.places import Local, On
from tasks.progress import Activity
from tasks.state import open_state
from tasks.travelling import travelling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    from tasks.plan import Step
    from tasks.requests import Contents
    from tasks.state import State

SHOWN = 5
"""How many inputs are named that are other than they were."""


class _Telling(Activity):
    """Tells what a step is doing to whoever has sent it."""

    def __init__(self, tell: Callable[[str, object], None], echo: Callable[[bytes], None]) -> None:
        super().__init__(echo=echo, heard=lambda values: tell("progress", values))
        self._told = tell
        self.alerts = _Alerts(tell)

    def say(self, phase: str) -> None:
        """Enter a phase."""
        super().say(phase)
        self._told("phase", phase)

    def tell(self, detail: str) -> None:
        """Say more about the phase."""
        super().tell(detail)
        self._told("detail", detail)


class _Alerts(deque[str]):
    def __init__(self, tell: Callable[[str, object], None]) -> None:
        super().__init__()
        self._tell = tell

    def append(self, text: str) -> None:
        self._tell("alert", text)


def main(words: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    for number in processes.ENDING:
        signal.signal(number, _terminated)
    parser = argparse.ArgumentParser(prog="python -m tasks.worker", description=__doc__)
    parser.add_argument("key")
    parser.add_argument("--force", action="store_true", help="run although there is a result")
    parser.add_argument("--attempt", type=int, default=1, help="which attempt it is")
    parser.add_argument("--where", type=json.loads, default={}, help="what the record says of it")
    parser.add_argument("--parent", type=int, default=0, help="the process that it ends with")
    asked = parser.parse_args(words)
    out = sys.stdout.buffer

    def write(data: bytes) -> None:
        out.write(data)
        out.flush()

    def tell(kind: str, value: object) -> None:
        write(news.written(kind, value))

    activity = _Telling(tell, write)
    try:
        if asked.parent:
            processes.end_with(asked.parent)
        with tempfile.TemporaryDirectory(prefix="modelmake-") as folder:
            here = Local(asked.where or {"place": "worker"})
            on = On("worker", here, attempt=asked.attempt)
            _carry_out(asked.key, on, folder, activity, force=asked.force)
    except UserError as error:
        parts = {"headline": error.headline, "facts": error.facts, "hint": error.hint}
        tell("error", {**parts, "reason": getattr(error, "reason", "")})
        return 1 if getattr(error, "again", False) else retries.NOT_AGAIN
    except KeyboardInterrupt as interrupt:
        processes.stop_all()
        return processes.status_after(interrupt)
    return 0


def _terminated(number: int, frame: FrameType | None) -> None:
    """End as other commands do, but once: a parent that dies tells so once for each thread."""
    for one in processes.ENDING:
        signal.signal(one, signal.SIG_IGN)
    processes.terminated(number, frame)


def _carry_out(key: str, on: On, folder: str, activity: Activity, *, force: bool) -> None:
    """Lay a request out in a folder, run its step there, and see that its result is shared."""
    activity.say("store")
    contents = requests.get(key)
    os.chdir(requests.lay_out(contents, folder))
    state = open_state()
    step = requests.step_of(contents, state)
    if step.upstream and contents.trained:
        _restore(step.upstream, contents.trained, state, activity)
    _check_key(step, key, contents, state, activity)
    on, anew = replace(on, commit=contents.commit), force and on.attempt == 1
    with travelling(step, key, activity.alerts.append, anew=anew):
        execute.run_step(step, state, activity, on, force=force)
    _see_shared(step, key, folder)


def _see_shared(step: Step, key: str, scratch: str) -> None:
    """Put a result into the store if it is not there yet, and see that it is, a few times.

    Raises AttemptFailed where that cannot be.
    """
    to, told = shared.shared(), ["it is not there"]
    assert to is not None  # noqa: S101 - the request was in it
    for _ in to.insisting():
        store.share(key, scratch, told.append)
        told += [to.write_trouble] if to.write_trouble else []
        try:
            if to.entry(key):
                return
        except (answers.Unreachable, Unsound) as error:
            told.append(str(error))
    failed = AttemptFailed(
        f"The result of {step.task} cannot be put into the store",
        ("store", to.address),
        ("reason", told[-1]),
        hint="see that it can be written to from there",
        reason="lost",
    )
    failed.again = failed.reason in retries.of(step.model.document, step.name).reasons
    raise failed


def _restore(step: Step, inputs: Mapping[str, str], state: State, activity: Activity) -> None:
    """Have the training here that a step works on.  Raises UserError where it is not stored."""
    if store.restore(step, inputs, state, activity.alerts.append) is None:
        raise UserError(
            f"The result of {step.task} cannot be had from the store",
            hint="run the step again where it was sent from: that puts it there anew",
        )


def _check_key(step: Step, key: str, contents: Contents, state: State, activity: Activity) -> None:
    """Raise UserError where the step would make something else here than where it was sent from."""
    prepared = preparation.prepare(step, state, activity)
    if prepared.key == key:
        return
    there, here = contents.inputs, prepared.inputs
    names = [n for n in sorted({*there, *here}) if there.get(n) != here.get(n)]
    raise UserError(
        f"The step {step.task} would make something else there than here",
        *((n, f"{here.get(n, 'none')} there, {there.get(n, 'none')} here") for n in names[:SHOWN]),
        hint="have the same versions of Python, R and modelmake on both sides; data outside the"
        " repository must be at the same path",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

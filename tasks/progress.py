"""How far a step is: what the model tells of it, how much that is, and whether it has stalled.

The model's process appends a JSON object a line to a file (runtime/run_step.py); here the end of it
is read a few times a second, shown, and published where the user names a broker.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from tasks.processes import Watcher
from tasks.publish import publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tasks.plan import Step

READ_BYTES = 1 << 16  # the last message stands in no more than this; what is before is not read
PUBLISH_SECONDS = 0.5  # of one step, progress is published no more often than this


@dataclass(frozen=True)
class Progress:
    """How far a step is.

    `values` is what the model last told, at `told`; `done` is how much of the work that is, from 0
    to 1, where it told totals.  `ends` is when all of it will be, going by the time since `since`,
    when `at_first` was done.  Times are those of `time.monotonic()`.
    """

    told: float
    values: Mapping[str, Any] = field(default_factory=dict)
    done: float | None = None
    ends: float | None = None
    since: float = 0.0
    at_first: float = 0.0
    stalled: bool = False


def share(values: Mapping[str, Any]) -> float | None:
    """Return how much of the work is done, from 0 to 1, None where that cannot be told.

    `epoc` of `epocs` counts the epochs from 1, and `iter` of `iters` the iterations, those of one
    epoch where there are epochs.
    """
    epoch, epochs = _number(values, "epoc"), _number(values, "epocs")
    iteration, iterations = _number(values, "iter"), _number(values, "iters")
    within = min(1.0, iteration / iterations) if iteration is not None and iterations else None
    if epoch is None or not epochs:
        return within
    done = epoch if within is None else epoch - 1 + within
    return min(1.0, max(0.0, done / epochs))


def _number(values: Mapping[str, Any], name: str) -> float | None:
    """Return a number that is not below 0, None for everything else that a model may tell."""
    found = values.get(name)
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    return found if 0 <= found < math.inf else None


def advanced(before: Progress, values: Mapping[str, Any], now: float) -> Progress:
    """Return the progress after the model told these values.

    When it ends is reckoned from the pace since the first message, so that a slow start does not
    count; a step that starts over, as for another fold, is reckoned anew.
    """
    done = share(values)
    if done is None:
        return Progress(now, values)
    if before.done is None or done < before.done:
        return Progress(now, values, done, since=now, at_first=done)
    pace = (now - before.since) / (done - before.at_first) if done > before.at_first else None
    ends = None if pace is None else now + (1 - done) * pace
    return Progress(now, values, done, ends, before.since, before.at_first)


@dataclass
class Activity:
    """What a step is doing now, for whoever shows it.

    `echo` is given what its model prints, `heard` what it tells of its progress.  `waited` is how
    many seconds it stood before the machine had room for it.
    """

    phase: str = ""
    detail: str = ""
    progress: Progress | None = None
    alerts: deque[str] = field(default_factory=deque)
    waited: float = 0.0
    echo: Callable[[bytes], None] = lambda _data: None
    heard: Callable[[Mapping[str, Any]], None] = lambda _values: None

    def say(self, phase: str) -> None:
        """Enter a phase."""
        self.phase, self.detail, self.progress = phase, "", None

    def tell(self, detail: str) -> None:
        """Say more about the phase."""
        self.detail = detail


def message(step: Step, state: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is published: whose progress, its state and time, and what the model told."""
    ours = {
        "model": step.model.name,
        "id": step.model.id,
        "step": step.name,
        "dataset": step.dataset_name,
        "state": state,
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
    }
    return {**ours, **values, **ours}


@contextlib.contextmanager
def followed(step: Step, path: str, activity: Activity) -> Iterator[Watcher]:
    """Follow a run of a step: what its model appends to the file at `path`.

    Yields who is to look on; it shows in `activity` how far the step is.
    """
    follower = _Follower(step, path, activity)
    follower.publish("started")
    try:
        yield Watcher(follower.tick, activity.echo)
    except BaseException:
        follower.publish("failed")
        raise
    follower.publish("finished")


class _Follower:
    def __init__(self, step: Step, path: str, activity: Activity) -> None:
        self._step, self._path, self._activity = step, path, activity
        limit = step.model.document.get("progress", {}).get("stallAfter", math.inf)
        self._patience = limit if step.name == "train" else math.inf
        self._offset = 0
        self._progress = Progress(time.monotonic())
        self._published = -math.inf
        self._unpublished = False

    def tick(self) -> str:
        """Look at what is new, show and publish it.  Return a line for the log, mostly none."""
        now, line = time.monotonic(), ""
        values = self._news()
        if values is not None:
            self._activity.heard(values)
            self._progress = advanced(self._progress, values, now)
            self._unpublished = True
        elif now - self._progress.told > self._patience and not self._progress.stalled:
            self._progress = replace(self._progress, stalled=True)
            line = f"no progress for {self._patience:g} s"
            self._activity.alerts.append(line)
            self.publish("stalled")
        self._activity.progress = self._progress
        if self._unpublished and now - self._published >= PUBLISH_SECONDS:
            self._published = now
            self.publish("progress")
        return line

    def _news(self) -> dict[str, Any] | None:
        """Return the last whole message that was not read yet."""
        with contextlib.suppress(OSError), open(self._path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(self._offset, size - READ_BYTES))
            data = file.read(READ_BYTES)
            whole = data.rfind(b"\n") + 1
            self._offset = file.tell() - len(data) + whole
            for line in reversed(data[:whole].splitlines()):
                with contextlib.suppress(ValueError, RecursionError):
                    found = json.loads(line)
                    if isinstance(found, dict):
                        return found
        return None

    def publish(self, state: str) -> None:
        """Publish the state with what was last told."""
        self._unpublished = False
        if to_broker := publisher():
            news = message(self._step, state, self._progress.values)
            to_broker.send(self._step.task, news, lasting=state != "progress")

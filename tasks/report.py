"""What a run shows, whoever reads it: doit's events become steps that start, go on and finish.

doit calls a reporter's methods as things happen: `execute_task` in the thread that runs the step,
the others in the main thread.  What happens within a step is looked at by a thread of our own, a
few times a second.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, TextIO

from tasks.explain import acceptance
from tasks.publish import publisher
from tasks.state import open_state
from tasks.wording import Shown, activity_of, first_line, is_step, message_of, values_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.wording import Failure, Task

# the states that a step can end in, in the order of the last line, each with its style
STYLES = {
    "ran": "green",
    "restored": "cyan",
    "up to date": "dim",
    "failed": "bold red",
    "interrupted": "yellow",
    "not run": "yellow",
    "ignored": "dim",
}
LOOK_SECONDS = 0.5


class Reporter:
    """Turns doit's events into steps that start and finish; what is shown is up to a subclass."""

    desc: ClassVar[str]

    def __init__(self, outstream: TextIO, _options: Mapping[str, object]) -> None:
        """Take the stream that doit writes to; the options are for doit's own reporters."""
        self.outstream = outstream
        self.interrupted = False
        self.steps: dict[str, Shown] = {}
        self.errors: list[str] = []
        self.tasks: Mapping[str, Task] = {}
        self.planned: list[str] = []
        self.left_out = 0  # steps that are up to date, of which doit was not told
        self._began = time.monotonic()
        self._culprits: dict[str, str] = {}  # task -> the failed step that is to blame
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None

    def started(self, step: Shown) -> None:
        """Show that a step starts."""
        raise NotImplementedError

    def went_on(self, running: Sequence[Shown], now: float) -> None:
        """Show how far the running steps are; called a few times a second."""

    def warned(self, step: str, text: str) -> None:
        """Show what is wrong with a step that goes on all the same, or with none in particular."""
        raise NotImplementedError

    def finished(self, step: Shown, failure: Failure = None) -> None:
        """Show how a step ended."""
        raise NotImplementedError

    def summary(self) -> None:
        """Show how the run ended."""
        raise NotImplementedError

    def initialize(self, tasks: Mapping[str, Task], selected_tasks: Iterable[str]) -> None:
        """Keep what doit is about to do, to know at the end what was never reached."""
        self.tasks = tasks
        groups = (tasks[name].meta or {} for name in selected_tasks)
        self.left_out = sum(meta.get("current", 0) for meta in groups)
        self.planned = [name for name in self._needed(selected_tasks) if is_step(tasks[name])]

    def get_status(self, task: Task) -> None:
        """Note that doit looks at a task."""
        if is_step(task):
            self.steps[task.name] = Shown(task)

    def execute_task(self, task: Task) -> None:
        """Note that a task starts, in the thread that runs it."""
        with self._lock:
            if task.name in self.steps and not self._closed.is_set():
                self.steps[task.name] = Shown(task, "running", began=time.monotonic())
                self.started(self.steps[task.name])
                if self._watcher is None:
                    self._watcher = threading.Thread(target=self._watch, name="watch", daemon=True)
                    self._watcher.start()

    def add_success(self, task: Task) -> None:
        """Note that a task has run, or has found its result there already."""
        values = values_of(task)
        state = values.get("state", "ran")
        state = "up to date" if state == "current" else state
        self._settle(task, state, note=values.get("message") or _accepted(task))

    def add_failure(self, task: Task, fail: Failure) -> None:
        """Note that a task failed, or could not run because another one failed."""
        if fail.get_name() == "UnmetDependency":
            known = (
                self._culprits[name] for name in fail.message.split() if name in self._culprits
            )
            self._culprits[task.name] = next(known, fail.message)
            self._settle(task, "not run", note=f"{self._culprits[task.name]} failed")
        else:
            self._culprits[task.name] = task.name
            self.steps.setdefault(task.name, Shown(task))
            self._settle(task, "failed", note=first_line(fail), failure=fail)

    def skip_uptodate(self, task: Task) -> None:
        """Note that there is nothing to do, and who said so; a console shows it at the end."""
        self._settle(task, "up to date", note=_accepted(task))

    def skip_ignore(self, task: Task) -> None:
        """Note that doit was told to ignore the task."""
        self._settle(task, "ignored")

    def teardown_task(self, task: Task) -> None:
        """Show nothing for a teardown."""

    def cleanup_error(self, exception: Failure) -> None:
        """Keep the error of a teardown for the end."""
        self.errors.append(message_of(exception))

    def runtime_error(self, msg: str) -> None:
        """Keep an error of doit's own for the end."""
        self.errors.append(msg)

    def complete_run(self) -> None:
        """Settle what is open and show the summary; doit calls this after Ctrl-C too."""
        kind = sys.exc_info()[0]
        self.interrupted |= kind is not None and not issubclass(kind, Exception)
        if to_broker := publisher():
            to_broker.flush()
        with self._lock:
            self._pass_on_warnings()
            self._closed.set()
            for name in dict.fromkeys([*self.steps, *self.planned]):
                step = self.steps.get(name) or Shown(self.tasks[name])
                if step.state == "running":
                    self._settle(step.task, "interrupted")
                elif step.state == "waiting":
                    self.steps[name] = step
                    culprits = (self._culprits.get(need) for need in self._needed([name]))
                    culprit = next(filter(None, culprits), "")
                    self._settle(step.task, "not run", note=culprit and f"{culprit} failed")
            self.summary()

    def _watch(self) -> None:
        """Look at what the running steps do, until the run has ended or nobody reads any more."""
        with contextlib.suppress(OSError):
            while not self._closed.wait(LOOK_SECONDS):
                with self._lock:
                    steps = list(self.steps.values())
                    running = [step for step in steps if step.state == "running"]
                    if not self._closed.is_set():
                        self._pass_on_warnings()
                        self.went_on(running, time.monotonic())

    def _pass_on_warnings(self) -> None:
        """Show what the steps and the broker have to say, each once."""
        for step in list(self.steps.values()):
            alerts = getattr(activity_of(step.task), "alerts", None)
            while alerts:
                self.warned(step.task.name, alerts.popleft())
        to_broker = publisher()
        if to_broker and (trouble := to_broker.trouble()):
            self.warned("", trouble)

    def _settle(self, task: Task, state: str, note: str = "", failure: Failure = None) -> None:
        """Keep how a step ended, unless the task is none (a group), and show it."""
        with self._lock:
            step = self.steps.get(task.name)
            if step is None:
                return
            waited = getattr(activity_of(step.task), "waited", 0.0)
            seconds = time.monotonic() - step.began - waited if step.began else None
            if step.began and state != "failed":
                seconds = values_of(task).get("seconds", seconds)
            self.steps[task.name] = replace(step, state=state, note=note, seconds=seconds)
            self.finished(self.steps[task.name], failure)

    def _needed(self, names: Iterable[str]) -> list[str]:
        """Return the tasks of these names and all that they depend on, in doit's order."""
        ahead, seen = list(names), set()
        while ahead:
            name = ahead.pop()
            if name in self.tasks and name not in seen:
                seen.add(name)
                ahead += self.tasks[name].task_dep
        return [name for name in self.tasks if name in seen]

    def _counts(self) -> dict[str, int]:
        """Count the steps by state, in the order of the last line."""
        found = Counter(step.state for step in self.steps.values())
        found["up to date"] += self.left_out
        return {state: found[state] for state in dict.fromkeys([*STYLES, *found]) if found[state]}


def _accepted(task: Task) -> str:
    """Return by whose acceptance the result of a model's step is current, nothing without one."""
    step = (task.meta or {}).get("step")
    return str((step and acceptance(step, open_state())) or "")

"""What a run shows: live lines and a table on a terminal, plain lines in a log, JSON for a program.

doit calls a reporter's methods as things happen: `execute_task` in the thread that runs the step,
the others in the main thread; rich redraws in a thread of its own and takes no lock of ours.  rich
is imported when the first step starts, so that a run with nothing to do stays quick.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, TextIO

from tasks.wording import (
    Step,
    captured_of,
    clean,
    duration,
    first_line,
    is_step,
    live_lines,
    message_of,
    metrics_of,
    notes_of,
    parts_of,
    shorten,
    values_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from tasks.wording import Failure, Task

# the states that a step can end in, in the order of the last line, each with its style
STYLES = {
    "ran": "green",
    "up to date": "dim",
    "failed": "bold red",
    "interrupted": "yellow",
    "not run": "yellow",
    "ignored": "dim",
}
LIST_ALL = 20  # up to this many steps, the table lists even those to which nothing happened


class Reporter:
    """Turns doit's events into steps that start and finish; what is shown is up to a subclass."""

    desc: ClassVar[str]

    def __init__(self, outstream: TextIO, _options: Mapping[str, object]) -> None:
        """Take the stream that doit writes to; the options are for doit's own reporters."""
        self.outstream = outstream
        self.interrupted = False
        self.steps: dict[str, Step] = {}
        self.errors: list[str] = []
        self.tasks: Mapping[str, Task] = {}
        self.planned: list[str] = []
        self.left_out = 0  # steps that are up to date, of which doit was not told
        self._began = time.monotonic()
        self._culprits: dict[str, str] = {}  # task -> the failed step that is to blame
        self._lock = threading.RLock()
        self._closed = False

    def started(self, step: Step) -> None:
        """Show that a step starts."""
        raise NotImplementedError

    def finished(self, step: Step, failure: Failure = None) -> None:
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
            self.steps[task.name] = Step(task)

    def execute_task(self, task: Task) -> None:
        """Note that a task starts, in the thread that runs it."""
        with self._lock:
            if task.name in self.steps and not self._closed:
                self.steps[task.name] = Step(task, "running", began=time.monotonic())
                self.started(self.steps[task.name])

    def add_success(self, task: Task) -> None:
        """Note that a task has run, or has found its result there already."""
        values = values_of(task)
        state = values.get("state", "ran")
        state = "up to date" if state == "current" else state
        self._settle(task, state, note=values.get("message", ""))

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
            self.steps.setdefault(task.name, Step(task))
            self._settle(task, "failed", note=first_line(fail), failure=fail)

    def skip_uptodate(self, task: Task) -> None:
        """Note that there is nothing to do; a console shows it at the end."""
        self._settle(task, "up to date")

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
        with self._lock:
            self._closed = True
            for name in dict.fromkeys([*self.steps, *self.planned]):
                step = self.steps.get(name) or Step(self.tasks[name])
                if step.state == "running":
                    self._settle(step.task, "interrupted")
                elif step.state == "waiting":
                    self.steps[name] = step
                    culprits = (self._culprits.get(need) for need in self._needed([name]))
                    culprit = next(filter(None, culprits), "")
                    self._settle(step.task, "not run", note=culprit and f"{culprit} failed")
            self.summary()

    def _settle(self, task: Task, state: str, note: str = "", failure: Failure = None) -> None:
        """Keep how a step ended, unless the task is none (a group), and show it."""
        with self._lock:
            step = self.steps.get(task.name)
            if step is None:
                return
            seconds = time.monotonic() - step.began if step.began else None
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


class ConsoleReporter(Reporter):
    """For people: live lines while things run, where there is a terminal, then what matters."""

    desc = "live lines on a terminal, plain lines elsewhere"

    def __init__(self, outstream: TextIO, options: Mapping[str, object]) -> None:
        """See whether there is a terminal, and one that can redraw its lines."""
        super().__init__(outstream, options)
        self._redraws = outstream.isatty() and os.environ.get("TERM") != "dumb"
        self._console: Console | None = None
        self._live: Live | None = None

    def started(self, step: Step) -> None:
        """Begin to redraw, or show a plain line."""
        if not self._redraws:
            self._print(f"{step.task.name} started")
        elif self._live is None:
            self._go_live()

    def finished(self, step: Step, failure: Failure = None) -> None:
        """Show the line that stays, and the message of a failure below it."""
        if self._closed or not (step.began or failure):
            return
        name = step.task.name
        if self._console is not None:
            widest = max(map(len, [name, *self.planned]))
            name = f"{name:<{min(widest, self._console.width // 2)}} "
        if self._live is not None:
            self._live.refresh()  # or the line of what runs would outlive it for a moment
        word = {"ran": "ok", "failed": "FAILED"}.get(step.state, step.state)
        self._print(f"{name} ", (word, STYLES.get(step.state, "")), f" {duration(step.seconds)}")
        if failure is not None and failure.report:
            text = "\n".join(filter(None, [message_of(failure), captured_of(step.task)]))
            self._print("\n".join(f"  {line}".rstrip() for line in clean(text).split("\n")))

    def summary(self) -> None:
        """Show the table, the failures and the last line."""
        self._leave_terminal()
        counts, total = self._counts(), len(self.steps) + self.left_out
        steps = f"{total} step{'' if total == 1 else 's'}"
        if not (self.interrupted or self.errors or counts.keys() - {"up to date"}):
            each = f": {steps} {'is' if total == 1 else 'are'} up to date" if total else ""
            self._print(f"nothing to do{each}")
            return
        place = {name: number for number, name in enumerate(self.tasks)}
        listed = sorted(self.steps.values(), key=lambda step: place[step.task.name])
        if total > LIST_ALL:
            listed = [step for step in listed if step.seconds is not None or step.note]
        self._print_table(listed)
        for step in listed:
            if step.state == "failed":
                self._print(("failed", STYLES["failed"]), f" {step.task.name}: {step.note}")
        for error in self.errors:
            self._print(("error", STYLES["failed"]), f" {clean(error)}")
        took = duration(time.monotonic() - self._began)
        each = ", ".join(f"{count} {state}" for state, count in counts.items()) or "none reached"
        if self.interrupted:
            self._print(("interrupted", STYLES["interrupted"]), f" after {took}, {steps}: {each}")
        else:
            self._print(f"{steps}: {each} in {took}")

    def _leave_terminal(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()

    def _print_table(self, listed: Sequence[Step]) -> None:
        """Show the steps in columns; on a terminal, no row is wider than it."""
        if not listed:
            return
        width = self._console.width if self._console else sys.maxsize
        states = max(5, *(len(step.state) for step in listed))
        times = max(4, *(len(duration(step.seconds)) for step in listed))
        notes = max(len(notes_of(step, width)) for step in listed)
        rest = width - states - times - 6
        names = max(4, *(len(step.task.name) for step in listed))
        names = min(names, max(20, rest - min(notes, width // 3)))
        head = f"{'step':<{names}}  {'state':<{states}}  {'time':>{times}}"
        self._print(("\n" + head + ("  metrics" if notes else ""), "dim"))
        for step in listed:
            self._print(
                f"{shorten(step.task.name, names):<{names}}  ",
                (f"{step.state:<{states}}", STYLES.get(step.state, "")),
                f"  {duration(step.seconds):>{times}}  {notes_of(step, rest - names)}",
            )
        self._print("")

    def _print(self, *pieces: str | tuple[str, str]) -> None:
        """Write one line of texts, some with a style."""
        if self._console is not None:
            from rich.text import Text  # noqa: PLC0415

            self._console.print(Text.assemble(*pieces), soft_wrap=True)
            return
        line = "".join(piece if isinstance(piece, str) else piece[0] for piece in pieces).rstrip()
        encoding = getattr(self.outstream, "encoding", None) or "utf-8"
        self.outstream.write(line.encode(encoding, "replace").decode(encoding) + "\n")
        self.outstream.flush()

    def _go_live(self) -> None:
        """Let rich redraw the lines of what runs, below everything that is printed."""
        from rich.console import Console  # noqa: PLC0415 - slow, see above
        from rich.live import Live  # noqa: PLC0415

        self._console = Console(file=self.outstream, markup=False, highlight=False, emoji=False)
        self._live = Live(
            get_renderable=self._frame,
            console=self._console,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
        )
        self._live.start()

    def _frame(self) -> Text:
        """Draw a line for each running step, as many as fit, and one for the whole run."""
        from rich.text import Text  # noqa: PLC0415

        now, steps = time.monotonic(), list(self.steps.values())  # taken at once: needs no lock
        running = [step for step in steps if step.state == "running"]
        states = Counter(step.state for step in steps)
        total = len({*self.planned, *(step.task.name for step in steps)})
        end = f"{len(steps) - states['running'] - states['waiting']} of {total} done"
        end += f", {states['failed']} failed" if states["failed"] else ""
        width, height = self._console.size if self._console else (80, 25)
        fits = max(1, height - 4)
        end = f"{len(running) - fits} more running, {end}" if len(running) > fits else end
        lines = [Text.assemble(*line) for line in live_lines(running[:fits], width, now)]
        lines.append(Text(f"{end}, {duration(now - self._began, 0)}", "dim"))
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return Text("\n").join(lines)


class JsonReporter(Reporter):
    """For programs: one JSON object a line, as things happen."""

    desc = "one JSON object a line, as things happen"
    _stdout: TextIO | None = None

    def initialize(self, tasks: Mapping[str, Task], selected_tasks: Iterable[str]) -> None:
        """Keep what tasks print off the stream that carries the objects."""
        super().initialize(tasks, selected_tasks)
        self._stdout, sys.stdout = sys.stdout, sys.stderr

    def started(self, step: Step) -> None:
        """Tell that a step starts."""
        self._tell("start", step=step.task.name)

    def finished(self, step: Step, failure: Failure = None) -> None:
        """Tell how a step ended."""
        values = values_of(step.task) if failure is None else {}
        self._tell(
            "finish",
            step=step.task.name,
            state=step.state,
            seconds=step.seconds,
            metrics=metrics_of(step.task, failure),
            folder=values.get("folder"),
            message="" if failure else step.note,
            error=parts_of(step.task, failure) if failure else None,
        )

    def summary(self) -> None:
        """Tell how the run ended, and give stdout back."""
        self._tell(
            "summary",
            steps=len(self.steps) + self.left_out,
            states=self._counts(),
            seconds=time.monotonic() - self._began,
            interrupted=self.interrupted,
            errors=self.errors,
        )
        if self._stdout is not None:
            sys.stdout = self._stdout

    def _tell(self, event: str, **facts: object) -> None:
        """Write one object, without the facts that are empty."""
        known = {name: fact for name, fact in facts.items() if fact not in (None, "", [], {})}
        text = json.dumps({"event": event, **known}, default=str)
        if "NaN" in text or "Infinity" in text:  # which JSON does not have
            text = json.dumps(json.loads(text, parse_constant=lambda _: None))
        self.outstream.write(text + "\n")
        self.outstream.flush()

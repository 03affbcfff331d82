"""The reporter of `nox -s evaluate`: each metric beside what it was, and files for CI.

What happens is shown as in any run.  At the end a table compares; the same is written as JUnit XML,
Markdown and JSON.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from doit.exceptions import InvalidCommand

from tasks import plan, records
from tasks.comparison import BROKEN, GOOD, Evaluation, Trouble, compare
from tasks.console import ConsoleReporter
from tasks.errors import NotGoodEnough
from tasks.explain import acceptance
from tasks.fingerprint import Files
from tasks.state import open_state
from tasks.wording import first_line, message_of, metrics_of, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.wording import Failure, Shown, Task

FOLDER = f"{plan.BUILD}/reports"
NAMES = ("evaluate.xml", "evaluate.md", "evaluate.json")


class EvaluationReporter(ConsoleReporter):
    """For people and for CI: live lines, then each metric before and after."""

    desc = "metrics before and after, and files for CI in build/reports"

    def initialize(self, tasks: Mapping[str, Task], selected_tasks: Iterable[str]) -> None:
        """Keep what was measured before; the files of an earlier run go, whatever comes of this."""
        super().initialize(tasks, selected_tasks)
        self._started = records.utc(time.time())
        self._failures: dict[str, Failure] = {}
        steps = {name: (tasks[name].meta or {}).get("step") for name in self.planned}
        self._evaluated = {n: step for n, step in steps.items() if step and step.name == "evaluate"}
        files = Files()
        self._before = {n: records.metrics(s.folder, files) for n, s in self._evaluated.items()}
        for name in NAMES:
            if os.path.exists(f"{FOLDER}/{name}"):
                os.remove(f"{FOLDER}/{name}")

    def finished(self, step: Shown, failure: Failure = None) -> None:
        """Keep a failure for the files."""
        if failure is not None:
            self._failures[step.task.name] = failure
        super().finished(step, failure)

    def summary(self) -> None:
        """Compare, show, and write."""
        from tasks import forms  # noqa: PLC0415 - what no other run needs waits for this one

        self._leave_terminal()
        evaluations = [self._evaluation(name) for name in self._evaluated]
        width = self._console.width if self._console else sys.maxsize
        if evaluations:
            self._print("")
            for line in forms.table(evaluations, width):
                self._print(*line)
            self._print("")
            for sentence in forms.accepted(evaluations):
                self._print(sentence)
        super().summary()
        _write(
            forms.junit(evaluations, self._started),
            forms.markdown(evaluations),
            forms.document(evaluations, self._started),
        )
        self._print(f"reports in {FOLDER}: {', '.join(NAMES)}")

    def _print_table(self, listed: Sequence[Shown]) -> None:
        """Show nothing: the table of evaluations stands in its place."""

    def _evaluation(self, name: str) -> Evaluation:
        """Return what came of an evaluation."""
        step, failure = self.steps[name], self._failures.get(name)
        before, evaluated = self._before[name], self._evaluated[name]
        after = metrics_of(step.task, failure)
        if step.state == "up to date":  # maybe by another doit, since this one began
            after = records.metrics(evaluated.folder, Files())
        broken = isinstance(getattr(failure, "user_error", None), NotGoodEnough)
        return Evaluation(
            evaluated.variant,
            BROKEN if broken else step.state,
            step.seconds,
            compare(before, after, evaluated.model.thresholds),
            self._trouble(name),
            self._accepted(name),
            self._usage(name),
        )

    def _usage(self, name: str) -> dict[str, float] | None:
        """Return what the processes of an evaluation used when its result was made."""
        record = records.read(self._evaluated[name].folder, Files())
        good = record and self.steps[name].state in GOOD
        return record.usage or None if record and good else None

    def _accepted(self, name: str) -> tuple[str, ...]:
        """Return what was accepted for an evaluation and its training, a sentence each."""
        steps = (self._evaluated[name].upstream, self._evaluated[name])
        found = ((step, acceptance(step, open_state())) for step in steps if step)
        return tuple(f"{step.task} {one}" for step, one in found if one)

    def _trouble(self, name: str) -> Trouble | None:
        """Return what went wrong with an evaluation, or with a step that it needs."""
        culprit = self._culprits.get(name) or ""
        failure = self._failures.get(culprit)
        if failure is None:
            return None
        task = self.tasks[culprit]
        return Trouble(culprit, first_line(failure), message_of(failure), parts_of(task, failure))


def _write(*texts: str) -> None:
    """Write the files, each whole or not at all.  Raises InvalidCommand where they cannot be."""
    try:
        os.makedirs(FOLDER, exist_ok=True)
        for name, text in zip(NAMES, texts, strict=True):
            with open(f"{FOLDER}/{name}.new", "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
            os.replace(f"{FOLDER}/{name}.new", f"{FOLDER}/{name}")
    except OSError as error:
        raise InvalidCommand(f"the reports cannot be written: {error}") from error

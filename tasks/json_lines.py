"""For programs: one JSON object a line, as things happen."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

from tasks.publish import json_line
from tasks.report import Reporter
from tasks.wording import activity_of, metrics_of, parts_of, values_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.wording import Failure, Shown, Task

PROGRESS_SECONDS = 1.0  # how often the progress of a step is told


class JsonReporter(Reporter):
    """For programs: one JSON object a line, as things happen."""

    desc = "one JSON object a line, as things happen"
    _stdout: TextIO | None = None

    def __init__(self, outstream: TextIO, options: Mapping[str, object]) -> None:
        """Remember what was told of each step, and when."""
        super().__init__(outstream, options)
        self._told: dict[str, tuple[float, tuple[object, ...]]] = {}

    def initialize(self, tasks: Mapping[str, Task], selected_tasks: Iterable[str]) -> None:
        """Keep what tasks print off the stream that carries the objects."""
        super().initialize(tasks, selected_tasks)
        self._stdout, sys.stdout = sys.stdout, sys.stderr

    def started(self, step: Shown) -> None:
        """Tell that a step starts."""
        self._tell("start", step=step.task.name)

    def went_on(self, running: Sequence[Shown], now: float) -> None:
        """Tell what the steps do and how far they are, where that has changed."""
        for step in running:
            name, activity = step.task.name, activity_of(step.task)
            if activity is None:
                continue  # a task of the user's own
            progress = getattr(activity, "progress", None)
            news = (activity.phase, activity.detail, progress and progress.told)
            when, before = self._told.get(name, (step.began, ()))
            if news == before or now - when < PROGRESS_SECONDS:
                continue
            self._told[name] = (now, news)
            done, ends = (progress.done, progress.ends) if progress else (None, None)
            self._tell(
                "progress",
                step=name,
                phase=activity.phase,
                detail=activity.detail,
                values=progress and progress.values,
                done=None if done is None else round(done, 3),
                left=None if ends is None else round(max(0.0, ends - now), 1),
            )

    def warned(self, step: str, text: str) -> None:
        """Tell what is wrong with a step that goes on all the same, or with none in particular."""
        self._tell("warning", step=step, message=text)

    def finished(self, step: Shown, failure: Failure = None) -> None:
        """Tell how a step ended."""
        values = values_of(step.task) if failure is None else {}
        self._tell(
            "finish",
            step=step.task.name,
            state=step.state,
            seconds=step.seconds,
            metrics=metrics_of(step.task, failure),
            folder=values.get("folder"),
            saved=values.get("saved") or None,
            usage=values.get("usage"),
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
        self.outstream.write(json_line({"event": event, **known}) + "\n")
        self.outstream.flush()

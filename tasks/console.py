"""For people: live lines and a table on a terminal, plain lines in a log.

rich is imported when the first step starts, so that a run with nothing to do stays quick.  It
redraws in a thread of its own and takes no lock of ours.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, TextIO

from tasks.front import nothing_to_do
from tasks.report import STYLES, Reporter
from tasks.runs import WAITING
from tasks.wording import (
    activity_of,
    captured_of,
    clean,
    counted,
    duration,
    live_lines,
    log_line,
    memory_of,
    message_of,
    metrics_of,
    notes_of,
    shorten,
    values_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from tasks.wording import Failure, Shown

LIST_ALL = 20  # up to this many steps, the table lists even those to which nothing happened
MEMORY = "  memory"
PREDICTIONS = "predictions.csv"
PIECE = 1 << 20  # bytes of it that are read at once
ROOM_FOR_METRICS = 18  # where memory would leave them less, it is not shown
LINE_SECONDS = 30.0  # how often a log shows that a step goes on
WAIT_SECONDS = 1.0  # a log shows that a step waits for another run of it when it did so for longer


class ConsoleReporter(Reporter):
    """For people: live lines while things run, where there is a terminal, then what matters."""

    desc = "live lines on a terminal, plain lines elsewhere"

    def __init__(self, outstream: TextIO, options: Mapping[str, object]) -> None:
        """See whether there is a terminal, and one that can redraw its lines."""
        super().__init__(outstream, options)
        self._redraws = outstream.isatty() and os.environ.get("TERM") != "dumb"
        self._lines: dict[str, float] = {}  # when a log last showed that a step goes on
        self._said: dict[str, str] = {}  # that a step waits, or has started, in a log
        self._console: Console | None = None
        self._live: Live | None = None

    def started(self, step: Shown) -> None:
        """Begin to redraw, or show a plain line where it is clear that there is something to do."""
        if self._redraws and self._live is None:
            self._go_live()
        elif activity_of(step.task) is None:
            self._say(step.task.name, "started")

    def went_on(self, running: Sequence[Shown], now: float) -> None:
        """Show a line now and then where there are no live lines."""
        if self._redraws:
            return
        for step in running:
            if getattr(activity_of(step.task), "phase", "") != WAITING:
                self._say(step.task.name, "started")
            elif now - step.began >= WAIT_SECONDS:
                self._say(step.task.name, f"is {WAITING}")
            if now - self._lines.get(step.task.name, step.began) >= LINE_SECONDS:
                self._lines[step.task.name] = now
                self._print(log_line(step, now))

    def warned(self, step: str, text: str) -> None:
        """Show a line that stays."""
        if step:
            self._say(step, "started")
        place = f" {step}:" if step else ""
        self._print(("warning", STYLES["interrupted"]), f"{place} {clean(text)}")

    def finished(self, step: Shown, failure: Failure = None) -> None:
        """Show the line that stays, and the message of a failure below it."""
        if self._closed.is_set() or not (step.began or failure):
            return
        name = step.task.name
        if step.state == "up to date" and name not in self._said:
            return
        if step.began and step.state != "up to date":
            self._say(name, "started")
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

    def _say(self, name: str, what: str) -> None:
        """Show once in a log that a step has started, or waits."""
        if not self._redraws and self._said.get(name) != what:
            self._said[name] = what
            self._print(f"{name} {what}")

    def summary(self) -> None:
        """Show the table, the failures and the last line."""
        self._leave_terminal()
        counts, total = self._counts(), len(self.steps) + self.left_out
        steps = counted(total, "step")
        if not (self.interrupted or self.errors or counts.keys() - {"up to date"}):
            self._print(nothing_to_do(total))
            return
        listed = self._listed()
        if total > LIST_ALL:
            listed = [step for step in listed if step.seconds is not None or step.note]
        self._print_table(listed)
        self._print_made(listed)
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
            less = f" instead of {duration(self._saved())}" if self._saved() else ""
            self._print(f"{steps}: {each} in {took}{less}")

    def _saved(self) -> float:
        """Return the seconds that all of it once took, where all was restored, and sooner."""
        steps = [step for step in self.steps.values() if step.state != "up to date"]
        saved = sum(values_of(step.task).get("saved", 0) for step in steps)
        restored = all(step.state == "restored" for step in steps)
        return float(saved) if restored and saved > time.monotonic() - self._began else 0.0

    def _listed(self) -> list[Shown]:
        """Return the steps by kind, and by name within: what ran first is chance."""
        kinds = list(dict.fromkeys(name.partition(":")[0] for name in self.tasks))

        def place(step: Shown) -> tuple[int, str]:
            name = step.task.name
            return kinds.index(name.partition(":")[0]), name

        return sorted(self.steps.values(), key=place)

    def _leave_terminal(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()

    def _print_table(self, listed: Sequence[Shown]) -> None:
        """Show the steps in columns; on a terminal, no row is wider than it."""
        if not listed:
            return
        width = self._console.width if self._console else sys.maxsize
        states = max(5, *(len(step.state) for step in listed))
        times = max(4, *(len(duration(step.seconds)) for step in listed))
        rest = width - states - times - 6
        names = min(max(4, *(len(step.task.name) for step in listed)), max(20, rest))
        rest -= names
        notes = max(len(notes_of(step, rest)) for step in listed)
        most = {step.task.name: memory_of(step.task) for step in listed}
        if rest - len(MEMORY) < min(notes, ROOM_FOR_METRICS):
            most = dict.fromkeys(most, "")
        memory = len(MEMORY) if any(most.values()) else 0
        rest -= memory
        head = f"{'step':<{names}}  {'state':<{states}}  {'time':>{times}}{MEMORY[:memory]}"
        measured = rest >= len("metrics") and any(metrics_of(step.task) for step in listed)
        self._print(("\n" + head + ("  metrics" if measured else ""), "dim"))
        for step in listed:
            self._print(
                f"{shorten(step.task.name, names):<{names}}  ",
                (f"{step.state:<{states}}", STYLES.get(step.state, "")),
                f"  {duration(step.seconds):>{times}}{most[step.task.name]:>{memory}}"
                f"  {notes_of(step, rest)}",
            )
        self._print("")

    def _print_made(self, listed: Sequence[Shown]) -> None:
        """Show what changed in locks, where predictions are, and how many lines they have."""
        for step in listed:
            place = values_of(step.task).get("folder")
            for change in values_of(step.task).get("changes", ()):
                self._print(f"{step.task.name}: {change}")
            if step.task.name.startswith("score:") and step.seconds is not None and place:
                count = _lines(f"{place}/{PREDICTIONS}")
                lines = "" if count is None else f"/{PREDICTIONS}  {counted(count, 'line')}"
                self._print(f"predictions  {place}{lines}")

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


def _lines(path: str) -> int | None:
    """Return how many lines a file has, None where there is none."""
    count = 0
    with contextlib.suppress(OSError), open(path, "rb") as file:
        while piece := file.read(PIECE):
            count += piece.count(b"\n")
        return count
    return None

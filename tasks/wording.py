"""How a run is put into words: pure functions from doit's tasks and failures to lines of text."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from tasks.errors import NotGoodEnough
from tasks.resources import memory_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.progress import Progress

Task: TypeAlias = Any  # doit's, which has no types
Failure: TypeAlias = Any  # doit's BaseFail; ours may have a `user_error` too
Piece: TypeAlias = tuple[str, str]  # a text with its style

MAIN_METRICS = 4  # a line shows no more of them
WIDE = 60  # columns in which there is room for the long bar
LONG_BAR, SHORT_BAR = 20, 10
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_COUNTS = {"epoc", "epocs", "iter", "iters"}
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*\x07?|[^\n\t -~\xa0-\U0010ffff]")


@dataclass(frozen=True)
class Shown:
    """What is known of one step; replaced whole, so that any thread sees a state that was."""

    task: Task
    state: str = "waiting"
    began: float = 0.0
    seconds: float | None = None
    note: str = ""  # a failure's first line, why the step did not run, or its own message


def is_step(task: Task) -> bool:
    """Return whether a task is shown: not a group, nor one that doit calls private."""
    return not task.has_subtask and not task.name.startswith("_") and bool(task.actions)


def activity_of(task: Task) -> Any:  # noqa: ANN401 - whatever has a phase and perhaps a detail
    """Return what a model's step is doing, None for a task of the user's own."""
    return (task.meta or {}).get("activity")


def values_of(task: Task) -> dict[str, Any]:
    """Return what the step of a model gave back, nothing for a task of the user's own."""
    return task.values or {} if activity_of(task) else {}


def metrics_of(task: Task, failure: Failure = None) -> dict[str, float]:
    """Return the metrics of a step's result, or those that were not good enough to be one."""
    if failure is None:
        return values_of(task).get("metrics") or {}
    return getattr(getattr(failure, "user_error", None), "metrics", {})


def message_of(failure: Failure) -> str:
    """Return the whole message: our own text as it is, with a traceback if there is one."""
    error = getattr(failure, "user_error", None)
    if error is not None:
        return str(error)
    message = "" if failure.message == "PythonAction Error" else f"{failure.message}\n"
    return (message + "".join(failure.traceback)).strip("\n")


def first_line(failure: Failure) -> str:
    """Return the line of the message that says most: of a traceback, the exception.

    Of an evaluation that is not good enough it says by which metrics.
    """
    error = getattr(failure, "user_error", None)
    if failure.traceback and error is None:
        return clean(failure.traceback[-1]).strip().partition("\n")[0]
    line = clean(message_of(failure)).strip().partition("\n")[0]
    missed = error.missed if isinstance(error, NotGoodEnough) else ()
    parts = [f"{one_line(name)} {wrong.partition(';')[0]}" for name, wrong in missed]
    return f"{line}: {', '.join(parts)}" if parts else line


def parts_of(task: Task, failure: Failure) -> dict[str, object]:
    """Return a failure in parts."""
    error = getattr(failure, "user_error", None)
    if error is not None:
        why = {"reason": error.reason} if hasattr(error, "reason") else {}
        return {"headline": error.headline, "facts": error.facts, "hint": error.hint, **why}
    return {"text": message_of(failure), "output": captured_of(task)}


def memory_of(task: Task) -> str:
    """Return the most memory that a step had, or once took to make; nothing where none knows."""
    peak = (values_of(task).get("usage") or {}).get("peak_memory")
    return memory_text(peak) if peak else ""


def captured_of(task: Task) -> str:
    """Return what doit kept back of a failed task's output; a model's step has its own log."""
    if activity_of(task):
        return ""
    kept = {0: ("out", "err"), 1: ("out",), None: ("out",)}.get(task.verbosity, ())
    texts = (getattr(action, stream) for action in task.actions for stream in kept)
    return "".join(filter(None, texts)).strip("\n")


def clean(text: str) -> str:
    """Return what a terminal would show in the end, without colours and control characters."""
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return "\n".join(_CONTROL.sub("", line) for line in lines)


def one_line(text: str) -> str:
    """Return a text as it can stand in a line."""
    return " ".join(clean(text).split())


def duration(seconds: float | None, digits: int = 1) -> str:
    """Return a time as people say it, nothing for None."""
    if seconds is None:
        return ""
    if seconds < 59.95:  # noqa: PLR2004 - less than what rounds to a minute
        return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def shorten(text: str, room: int) -> str:
    """Return the text with its middle left out if it is too long: names differ at both ends."""
    if len(text) <= room:
        return text
    tail = (room - 1) // 2
    return f"{text[: room - 1 - tail]}…{text[len(text) - tail :]}"


def notes_of(step: Shown, room: int) -> str:
    """Return the main metrics, as many as there is room for, or why there are none."""
    if step.state == "failed":
        return ""  # it is listed below the table
    note = f"({step.note})" if step.note and step.state == "not run" else step.note
    return main_metrics(metrics_of(step.task), note, room)


def main_metrics(metrics: Mapping[str, object], note: str, room: int) -> str:
    """Return the first metrics, how many more there are, and the note, where there is room."""
    numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    parts = [f"{one_line(name)} {number_text(value)}" for name, value in numbers.items()]
    line = ""
    for count in range(min(len(parts), MAIN_METRICS), -1, -1):
        more = [f"+{len(parts) - count}"] if count < len(parts) else []
        line = "  ".join(filter(None, [*parts[:count], *more, note]))
        if len(line) <= room:
            return line
    return f"{line[: room - 1]}…" if room > 0 else ""


def number_text(value: float) -> str:
    """Return a metric with as many digits as people compare."""
    if isinstance(value, int) or (value.is_integer() and 1 < abs(value) < 1e15):  # noqa: PLR2004
        return str(int(value))
    readable = not value or 1e-3 <= abs(value) < 1e6  # noqa: PLR2004
    return f"{value:.3f}" if readable else f"{value:.4g}"


def live_lines(running: Sequence[Shown], width: int, now: float) -> list[list[Piece]]:
    """Return a line for each running step: spinner, name, time, what it does or how far it is."""
    times = [duration(now - step.began, 0) for step in running]
    longest = max(map(len, times), default=0)
    taken = 2 + 2 + longest + 2
    wanted = max((length_of(doing(step, width, now)) for step in running), default=0)
    names = max((len(step.task.name) for step in running), default=0)
    names = min(names, max(12, width - taken - min(wanted, width // 2)))
    spinner = SPINNER[int(now * 8) % len(SPINNER)]
    return [
        [
            (f"{spinner} ", "cyan"),
            (f"{shorten(step.task.name, names):<{names}}  {took:>{longest}}  ", ""),
            *doing(step, width - taken - names, now),
        ]
        for step, took in zip(running, times, strict=True)
    ]


def length_of(pieces: Sequence[Piece]) -> int:
    """Return how many columns pieces take."""
    return sum(len(text) for text, _ in pieces)


def doing(step: Shown, room: int, now: float) -> list[Piece]:
    """Return what a step does, or how far it is: a bar where totals are known, and what fits."""
    progress: Progress | None = getattr(activity_of(step.task), "progress", None)
    if progress is None:
        return [(text, "dim") for text in phase_of(step)]
    pieces = bar(progress.done, LONG_BAR if room >= WIDE else SHORT_BAR)
    pieces = pieces if length_of(pieces) <= room else []
    room -= length_of(pieces)
    parts = told(progress, now)
    fitting: set[Part] = set()
    for part in sorted(parts, key=lambda part: part.rank):
        cost = len(part.text) + (2 if pieces or fitting else 0)
        if cost <= room:
            fitting.add(part)
            room -= cost
    for part in parts:
        if part in fitting:
            pieces.append((f"  {part.text}" if pieces else part.text, part.style))
    return pieces


def bar(done: float | None, length: int) -> list[Piece]:
    """Return a bar, which can be read without colours too, and the share; nothing for None."""
    if done is None:
        return []
    full = int(done * length)
    return [("━" * full, "green"), ("─" * (length - full), "dim"), (f" {percent(done):>4}", "")]


def percent(done: float) -> str:
    """Return a share in percent; 100 only when all is done."""
    return f"{int(done * 100)}%"


@dataclass(frozen=True)
class Part:
    """A part of what is told of a step's progress; where room is short, the lowest rank stays."""

    rank: int
    text: str
    style: str = ""


def told(progress: Progress, now: float) -> list[Part]:
    """Return what a model told of its progress, and what follows from it, in reading order."""
    values = progress.values
    parts = [Part(0, f"silent for {duration(now - progress.told, 0)}", "yellow")]
    parts = parts if progress.stalled else []
    for rank, name, total, label in ((1, "epoc", "epocs", "epoch"), (4, "iter", "iters", "iter")):
        if values.get(name) is not None:
            of = f"/{count_text(values[total])}" if values.get(total) is not None else ""
            parts.append(Part(rank, f"{label} {count_text(values[name])}{of}"))
    rest = {name: value for name, value in values.items() if name not in _COUNTS}
    for name in sorted(rest, key=lambda name: name != "score"):
        if rest[name] is not None:
            rank = 2 if name == "score" else 5
            parts.append(Part(rank, f"{one_line(name)} {value_text(rest[name])}"))
    left = progress.ends - now if progress.ends else 0
    if left >= 1 and not progress.stalled:
        parts.append(Part(3, f"{duration(left, 0)} left", "dim"))
    return parts


def count_text(value: object) -> str:
    """Return a count, which R and others tell as a float."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else value_text(value)  # type: ignore[call-overload]


def value_text(value: object) -> str:
    """Return what a model told as one line."""
    if isinstance(value, float) and math.isfinite(value):
        return number_text(value)
    return clean(str(value)).partition("\n")[0]


def log_line(step: Shown, now: float) -> str:
    """Return a line for a log that says that a step goes on, and how far it is."""
    parts = [duration(now - step.began, 0)]
    progress: Progress | None = getattr(activity_of(step.task), "progress", None)
    if progress is None:
        parts.append("".join(phase_of(step)))
    else:
        parts.append("" if progress.done is None else percent(progress.done))
        parts += [part.text for part in told(progress, now)]
    return f"{step.task.name} running {'  '.join(filter(None, parts))}"


def phase_of(step: Shown) -> list[str]:
    """Return what a step does, where its name does not say so already, and what is said of that."""
    activity = activity_of(step.task)
    phase = str(getattr(activity, "phase", ""))
    phase = "" if phase == step.task.name.partition(":")[0] else phase
    detail = clean(str(getattr(activity, "detail", ""))).strip().rpartition("\n")[2]
    return [text for text in (phase, f"  {detail}" if phase and detail else detail) if text]


def counted(number: int, noun: str) -> str:
    """Return a number of things: `1 step`, `2 steps`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size_text(size: float) -> str:
    """Return a number of bytes as people say it, in units of 1,000."""
    units = {"GB": 1e9, "MB": 1e6, "kB": 1e3}
    unit = next((unit for unit, least in units.items() if size >= least), "")
    return f"{size / units[unit]:.1f} {unit}" if unit else f"{size:.0f} bytes"

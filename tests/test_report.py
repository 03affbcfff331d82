"""What the reporters show, on real runs of doit with steps that only pretend."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

DODO = """
import threading
import time

from doit.exceptions import TaskFailed

from tasks import console, json_lines
from tasks.console import ConsoleReporter
from tasks.errors import UserError
from tasks.json_lines import JsonReporter
from tasks.progress import Activity, Progress

DOIT_CONFIG = {"reporter": REPORTER, "backend": "json", "default_tasks": ["train", "evaluate"]}


def fake(name, action, *needs, current=False, activity=Activity("train", "epoch 3")):
    return {
        "name": name,
        "actions": [action],
        "task_dep": list(needs),
        "uptodate": [current],
        "meta": {"activity": activity},
        "io": {"capture": False},
    }


def ran(**metrics):
    return lambda: {"state": "ran", "seconds": 2.0, "metrics": metrics, "folder": "build/x"}


def user_failure():
    facts = [("file", "m/training.py"), ("log", "a\\x1b[31m!")]
    error = UserError("Model `bad` cannot train", *facts, hint="mend it")
    failure = TaskFailed(str(error))
    failure.user_error = error
    return failure


def crash():
    raise ZeroDivisionError("by zero")


def sleep():
    time.sleep(60)
"""

FAILING = """
def task_train():
    yield fake("good", ran())
    yield fake("old", lambda: {"state": "current", "metrics": {}})
    yield fake("stored", lambda: {"state": "ran", "seconds": 0.1, "message": "second time"})
    yield fake("bad", user_failure)
    yield fake("crash", crash)


def task_evaluate():
    metrics = dict(accuracy=0.76, f1=0.65, rows=9, note="text", r2=-1.0, auc=1e-7)
    yield fake("good", ran(**metrics), "train:good")
    yield fake("bad", ran(), "train:bad")


def task_score():
    return {"actions": ["echo out; echo err >&2; exit 3"], "task_dep": ["evaluate:bad"]}


def task_mine():
    return {"actions": ["echo out; exit 3"]}
"""

CURRENT = """
def task_train():
    for number in range(COUNT):
        yield fake(f"m{number}", ran(accuracy=0.5), current=True)


def task_late():
    return {"actions": [["true"]], "task_dep": ["train"]}
"""


def write_dodo(folder: Path, tasks: str, reporter: str = "ConsoleReporter") -> None:
    """Write a dodo file with these tasks and this reporter."""
    (folder / "dodo.py").write_text(DODO.replace("REPORTER", reporter) + tasks)
    (folder / "model_definitions").mkdir(exist_ok=True)


def command(*args: str) -> list[str]:
    """Return the command line for doit."""
    return [sys.executable, "-m", "doit", "run", *args]


def environment(**more: str) -> dict[str, str]:
    """Return the environment in which doit finds the reporters."""
    kept = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "TERM"}}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **more}


def run_doit(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run doit without a terminal."""
    return subprocess.run(
        command(*args), cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


def steady(text: str) -> str:
    """Return the text with every measured time as `0.0 s`, and without doit's own frames."""
    text = re.sub(r"\d+\.\d s", "0.0 s", text)
    return re.sub(r"  Traceback (?s:.*?)\n(  \S)", r"  Traceback ...\n\1", text)


def on_terminal(
    folder: Path, *args: str, interrupt_at: str = "", columns: int = 100, **more: str
) -> str:
    """Run doit on a terminal of its own; press Ctrl-C when it shows a text."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execve(  # noqa: S606
            sys.executable, command(*args), environment(COLUMNS=str(columns), **more)
        )
    shown = b""
    deadline = time.monotonic() + 30
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 0.5)[0]:
                continue
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not piece:
                break
            shown += piece
            if interrupt_at and interrupt_at in shown.decode(errors="replace"):
                interrupt_at = ""
                os.kill(child, signal.SIGINT)
        else:
            os.kill(child, signal.SIGKILL)
    finally:
        os.waitpid(child, 0)
        os.close(terminal)
    return shown.decode().replace("\r\n", "\n")


def without_colour(text: str) -> str:
    """Return the text without escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


PLAIN = """\
train:good started
train:good ok 0.0 s
train:stored started
train:stored ok 0.0 s
train:bad started
train:bad FAILED 0.0 s
  Model `bad` cannot train
    file  m/training.py
    log   a!

  hint: mend it
train:crash started
train:crash FAILED 0.0 s
  Traceback ...
  ZeroDivisionError: by zero
evaluate:good started
evaluate:good ok 0.0 s
mine started
mine FAILED 0.0 s
  Command failed: 'echo out; exit 3' returned 3
  out

step           state        time  metrics
train:bad      failed      0.0 s
train:crash    failed      0.0 s
train:good     ran         0.0 s
train:old      up to date  0.0 s
train:stored   ran         0.0 s  second time
evaluate:bad   not run            (train:bad failed)
evaluate:good  ran         0.0 s  accuracy 0.760  f1 0.650  rows 9  r2 -1.000  +1
score          not run            (train:bad failed)
mine           failed      0.0 s

failed train:bad: Model `bad` cannot train
failed train:crash: ZeroDivisionError: by zero
failed mine: Command failed: 'echo out; exit 3' returned 3
9 steps: 3 ran, 1 up to date, 3 failed, 2 not run in 0.0 s
"""


def test_plain_text(tmp_path: Path) -> None:
    """Without a terminal a run is plain lines, every failure is shown once, with its cause."""
    write_dodo(tmp_path, FAILING)
    done = run_doit(tmp_path, "-c", "train", "evaluate", "score", "mine")
    assert steady(done.stdout) == PLAIN
    assert done.stderr == ""


def test_stop_at_the_first_failure(tmp_path: Path) -> None:
    """Steps that doit never came to are named as not run, those with a culprit with it."""
    write_dodo(tmp_path, FAILING)
    done = run_doit(tmp_path, "train:bad", "evaluate")
    assert steady(done.stdout).partition("\n\n")[2].partition("\n\n")[2] == (
        "step           state     time\n"
        "train:bad      failed   0.0 s\n"
        "train:good     not run\n"
        "evaluate:bad   not run         (train:bad failed)\n"
        "evaluate:good  not run\n"
        "\n"
        "failed train:bad: Model `bad` cannot train\n"
        "4 steps: 1 failed, 3 not run in 0.0 s\n"
    )


def test_two_at_once(tmp_path: Path) -> None:
    """Threads that start steps at the same time mix no lines."""
    tasks = 'def task_train():\n    for n in range(60):\n        yield fake(f"m{n}", ran())\n'
    write_dodo(tmp_path, tasks)
    lines = run_doit(tmp_path, "-n", "8", "train").stdout.splitlines()
    assert sorted(lines[:120]) == sorted(
        [f"train:m{n} {word}" for n in range(60) for word in ("started", "ok 2.0 s")]
    )
    assert lines[-1].startswith("60 steps: 60 ran in ")


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (0, "nothing to do"),
        (1, "nothing to do: 1 step is up to date"),
        (7, "nothing to do: 7 steps are up to date"),
    ],
)
def test_nothing_to_do(tmp_path: Path, count: int, line: str) -> None:
    """A run with nothing to do is one line, and does not wait for rich, even on a terminal."""
    tasks = CURRENT.replace("COUNT", str(count))
    tasks += "\nimport atexit, sys\natexit.register(lambda: print('rich' in sys.modules))\n"
    write_dodo(tmp_path, tasks)
    run_doit(tmp_path, "train")
    assert on_terminal(tmp_path, "train") == f"{line}\nFalse\n"


@pytest.mark.parametrize(("count", "listed"), [(19, 20), (20, 1)])
def test_up_to_date_steps_are_listed_when_few(tmp_path: Path, count: int, listed: int) -> None:
    """Up to 20 steps, the table has those that are up to date, with the metrics that they keep."""
    write_dodo(tmp_path, CURRENT.replace("COUNT", str(count)).replace("current=True", ""))
    run_doit(tmp_path, "train")
    write_dodo(tmp_path, CURRENT.replace("COUNT", str(count)))
    lines = run_doit(tmp_path, "late").stdout.split("\n\n")[1].splitlines()
    assert len(lines) == listed + 1
    assert ("train:m0   up to date         accuracy 0.500" in lines) == (listed > 1)


def test_dumb_terminal(tmp_path: Path) -> None:
    """A terminal that cannot redraw gets the plain lines."""
    write_dodo(tmp_path, FAILING)
    shown = on_terminal(tmp_path, "train:good", TERM="dumb")
    assert steady(shown).startswith("train:good started\ntrain:good ok 0.0 s\n\nstep ")
    assert "\x1b" not in shown


def test_terminal(tmp_path: Path) -> None:
    """On a terminal the lines of what runs are redrawn, and at the end the cursor is back."""
    write_dodo(
        tmp_path, FAILING + "def task_slow():\n    yield fake('one', lambda: time.sleep(0.5))"
    )
    shown = on_terminal(tmp_path, "-c", "train", "evaluate", "slow", "mine")
    text = without_colour(shown)
    assert re.search(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] slow:one  \d s  train  epoch 3\n", text)
    assert re.search(r"7 of 9 done, 2 failed, \d s", text)
    assert "\x1b[1;31mFAILED\x1b[0m" in shown
    assert text.count("Model `bad` cannot train") == 2  # as it happens, and at the end
    assert "9 steps: 4 ran, 1 up to date, 3 failed, 1 not run in" in text
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


GOING_ON = """
console.LINE_SECONDS = 0.6
json_lines.PROGRESS_SECONDS = 0.2
doing = Activity("train")


def go_on():
    values = {"epoc": 3, "epocs": 10, "score": 0.81}
    doing.progress = Progress(time.monotonic(), values, 0.3)
    doing.alerts.append("no progress for 9 s")
    time.sleep(1.5)


def task_train():
    yield fake("one", go_on, activity=doing)
"""


def test_a_step_that_goes_on_in_a_log(tmp_path: Path) -> None:
    """Without a terminal a line now and then says that a step goes on, and an alert is told."""
    write_dodo(tmp_path, GOING_ON)
    lines = steady(run_doit(tmp_path, "train").stdout).splitlines()
    assert lines[:3] == [
        "train:one started",
        "warning train:one: no progress for 9 s",
        "train:one running 1 s  30%  epoch 3/10  score 0.810",
    ]


def test_a_step_that_goes_on_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal a step has a bar, and an alert is a line that stays."""
    write_dodo(tmp_path, GOING_ON)
    text = without_colour(on_terminal(tmp_path, "train"))
    bar = "━━━━━━──────────────  30%"
    assert re.search(rf"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] train:one  \d s  {bar}  epoch 3/10  score 0.810\n", text)
    assert 1 == text.count("warning train:one: no progress for 9 s\n")


def test_a_step_that_goes_on_in_json(tmp_path: Path) -> None:
    """A program is told what a step does when that has changed, and of an alert."""
    write_dodo(tmp_path, GOING_ON, "JsonReporter")
    events = read_json(run_doit(tmp_path, "train").stdout)
    values = {"epoc": 3, "epocs": 10, "score": 0.81}
    assert events[:3] == [
        {"event": "start", "step": "train:one"},
        {"event": "warning", "step": "train:one", "message": "no progress for 9 s"},
        {"event": "progress", "step": "train:one", "phase": "train", "values": values, "done": 0.3},
    ]
    assert [event["event"] for event in events[3:]] == ["finish", "summary"]


def test_no_colour(tmp_path: Path) -> None:
    """NO_COLOR takes the colours away, not the live lines."""
    write_dodo(tmp_path, FAILING)
    shown = on_terminal(tmp_path, "train:bad", NO_COLOR="1")
    assert "FAILED" in shown
    assert not re.search(r"\x1b\[(\d+;)*3\d(;\d+)*m", shown)


@pytest.mark.parametrize("columns", [60, 80])
def test_narrow_terminal(tmp_path: Path, columns: int) -> None:
    """No row of the table is wider than the terminal; what differs in the names can be seen."""
    name = "python-with-a-name-that-goes-on-and-on-and-on-until-number-"
    metrics = "ran(mean_absolute_percentage_error=123456.789, accuracy=0.5)"
    write_dodo(
        tmp_path,
        f"def task_train():\n    for n in range(3):\n        yield fake(f'{name}{{n}}', {metrics})",
    )
    text = without_colour(on_terminal(tmp_path, "train", columns=columns))
    rows = text[text.index("\nstep ") :].splitlines()[2:5]
    assert [bool(re.match(rf"train:python-\S+…\S+-{n}  ran ", row)) for n, row in enumerate(rows)]
    assert max(len(row.rstrip()) for row in rows) <= columns


NAMES_ALIKE = """
def task_evaluate():
    usage = {"usage": {"peak_memory": 5 << 20}}
    for name in ("python-mle-xgboost-diabetes", "python-xgboost-diabetes"):
        measured = ran(accuracy=0.779, recall=0.656, precision=0.755)()
        yield fake(name, lambda measured=measured: {**measured, **usage})
"""


@pytest.mark.parametrize(
    ("columns", "note"),
    [
        (100, "     5Mi  accuracy 0.779  recall 0.656  +1"),
        (80, "     5Mi  accuracy 0.779  +2"),
        (70, "  accuracy 0.779  +2"),
        (60, "  +3"),
        (52, ""),
    ],
)
def test_names_alike_on_a_narrow_terminal(tmp_path: Path, columns: int, note: str) -> None:
    """Names are whole before memory and metrics have room."""
    write_dodo(tmp_path, NAMES_ALIKE)
    text = without_colour(on_terminal(tmp_path, "evaluate", columns=columns))
    head, *rows = text[text.index("\nstep ") + 1 :].splitlines()[:3]
    assert [f"{f'evaluate:{name}':<36}  ran    2.0 s{note}" for name in (
        "python-mle-xgboost-diabetes", "python-xgboost-diabetes"
    )] == [row.rstrip() for row in rows]  # fmt: skip
    assert len(head.rstrip()) <= columns


@pytest.mark.parametrize("threads", [[], ["-n", "2"]])
def test_interrupt(tmp_path: Path, threads: list[str]) -> None:
    """Ctrl-C leaves the terminal as it was, and the summary says what was under way."""
    write_dodo(
        tmp_path, "def task_train():\n    for name in 'ab':\n        yield fake(name, sleep)"
    )
    shown = on_terminal(
        tmp_path, *threads, "train", interrupt_at="train:b" if threads else "epoch 3"
    )
    counts = "2 interrupted" if threads else "1 interrupted, 1 not run"
    assert re.search(rf"interrupted after \d+\.\d s, 2 steps: {counts}\n", without_colour(shown))
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def read_json(text: str) -> list[dict[str, Any]]:
    """Return the objects, without the times; a constant that JSON does not have fails."""
    events = [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]
    for event in events:
        event.pop("seconds", None)
    return events


def test_json(tmp_path: Path) -> None:
    """Every line is one object, a failure is in parts, and what tasks print goes elsewhere."""
    tasks = FAILING + "def task_loud():\n    return {'actions': ['echo loud'], 'verbosity': 2}\n"
    write_dodo(tmp_path, tasks.replace("rows=9", "rows=float('nan')"), "JsonReporter")
    done = run_doit(tmp_path, "-c", "train:bad", "evaluate:bad", "evaluate:good", "mine", "loud")
    metrics = {"accuracy": 0.76, "f1": 0.65, "rows": None, "note": "text", "r2": -1.0, "auc": 1e-7}
    headline, hint = "Model `bad` cannot train", "mend it"
    facts = [["file", "m/training.py"], ["log", "a\x1b[31m!"]]
    failed = "Command failed: 'echo out; exit 3' returned 3"
    assert read_json(done.stdout) == [
        {"event": "start", "step": "train:bad"},
        {
            "event": "finish",
            "step": "train:bad",
            "state": "failed",
            "error": {"headline": headline, "facts": facts, "hint": hint},
        },
        {
            "event": "finish",
            "step": "evaluate:bad",
            "state": "not run",
            "message": "train:bad failed",
        },
        {"event": "start", "step": "train:good"},
        {"event": "finish", "step": "train:good", "state": "ran", "folder": "build/x"},
        {"event": "start", "step": "evaluate:good"},
        {
            "event": "finish",
            "step": "evaluate:good",
            "state": "ran",
            "metrics": metrics,
            "folder": "build/x",
        },
        {"event": "start", "step": "mine"},
        {
            "event": "finish",
            "step": "mine",
            "state": "failed",
            "error": {"text": failed, "output": "out"},
        },
        {"event": "start", "step": "loud"},
        {"event": "finish", "step": "loud", "state": "ran"},
        {
            "event": "summary",
            "steps": 6,
            "states": {"ran": 3, "failed": 2, "not run": 1},
            "interrupted": False,
        },
    ]
    assert done.stderr == "loud\n"


def test_errors_of_doit_itself(tmp_path: Path) -> None:
    """What doit finds wrong with the tasks while running is shown before the last line."""
    write_dodo(
        tmp_path,
        "from doit import create_after\n@create_after(executed='first')\ndef task_late():\n"
        "    yield fake('x=y', ran())\n"
        "def task_first():\n    return {'actions': [['true']]}\n",
    )
    done = run_doit(tmp_path, "first", "late")
    assert "error Task 'late:x=y': name must not use" in done.stdout
    assert steady(done.stdout).splitlines()[-1] == "1 step: 1 ran in 0.0 s"


def test_a_missing_file(tmp_path: Path) -> None:
    """A step that cannot even start is shown as failed, without a time."""
    write_dodo(tmp_path, "def task_x():\n    return {'actions': [['true']], 'file_dep': ['gone']}")
    done = run_doit(tmp_path, "x")
    assert steady(done.stdout).startswith("x FAILED\n  ERROR: Task 'x' checking dependencies: ")

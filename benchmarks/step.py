"""What the runner adds to a step: from the decision to run it to its record, part by part.

A trivial model is trained (and evaluated) again and again in this process; the time of the
model's own process is taken out.

    python benchmarks/step.py --repeat 50
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import (
    STEPS,
    milliseconds,
    print_repeat,
    print_table,
    progress,
    write_repository,
)

from tasks import discover, execute
from tasks.environments import build
from tasks.plan import Step
from tasks.progress import Activity
from tasks.state import open_state

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET_MS = 50.0
PROCESS = "the model's process"
REST = "the rest"

PARTS = {
    "tasks.processes.run_logged": PROCESS,
    "tasks.discover.read_again": "reading the model's files",
    "tasks.environments.build.find": "finding the environment",
    "tasks.plan.inputs": "hashing the inputs",
    "tasks.furnishing.furnish": "furnishing the folder",
    "tasks.furnishing.left_behind": "listing the artefacts",
    "tasks.metrics.collect": "collecting metrics",
    "tasks.records.read": "reading records",
    "tasks.records.write": "writing records",
    "tasks.git.head": "asking Git",
    "tasks.results.publish": "publishing",
    "os.fsync": "fsync",
    "shutil.rmtree": "removing folders",
}
"""Functions that are timed, each without those of the others that it calls."""


class Clock:
    """Times functions while they are called; what one calls of the others is not its own time."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inner = [0.0]

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its own time added to a part."""

        @functools.wraps(function)
        def call(*arguments: object, **named: object) -> object:
            self._inner.append(0.0)
            began = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                whole = time.perf_counter() - began
                self.spent[part] += whole - self._inner.pop()
                self.calls[part] += 1
                self._inner[-1] += whole

        return call

    def wrap(self, path: str, part: str) -> None:
        """Replace a function, named with its module, by its timed self."""
        module_name, _, name = path.rpartition(".")
        module = importlib.import_module(module_name)
        setattr(module, name, self.timed(part, getattr(module, name)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=50, help="runs of each step, default: 50")
    parser.add_argument("--in", dest="top", help="the file system to work on, default: temporary")
    parser.add_argument("--git", action="store_true", help="make the repository one of Git")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="step-", dir=options.top) as folder:
        os.environ["MODEL_CACHE"] = f"{folder}/cache"
        write_repository(Path(folder), models=1)
        os.chdir(folder)
        if options.git:
            subprocess.run(["git", "init", "--quiet"], check=True)
        clock = Clock()
        for path, part in PARTS.items():
            clock.wrap(path, part)
        for kind in STEPS:
            _measure(kind, options.repeat, clock)
        _processes(options.repeat)
        os.chdir("/")
    print_repeat()


def _measure(kind: str, repeat: int, clock: Clock) -> None:
    """Run a step again and again, and print where its time goes."""
    step = _step(kind)
    runs: list[dict[str, float]] = []
    counts: dict[str, int] = {}
    for number in range(repeat + 1):
        progress(f"{kind}: {number} of {repeat}")
        clock.spent.clear()
        clock.calls.clear()
        began = time.perf_counter()
        execute.run_step(step, open_state(), Activity(), force=True)
        whole = time.perf_counter() - began
        runs.append({**clock.spent, REST: whole - sum(clock.spent.values())})
        counts = dict(clock.calls)
    progress("")
    _print_parts(kind, runs[1:], counts)


def _step(kind: str) -> Step:
    return Step(discover.discover(open_state().files)[0], kind)


def _print_parts(kind: str, runs: list[dict[str, float]], counts: dict[str, int]) -> None:
    own = [sum(parts.values()) - parts[PROCESS] for parts in runs]
    middle = statistics.median(own)
    rows = []
    for part in dict.fromkeys([*PARTS.values(), REST]):
        times = [parts.get(part, 0.0) for parts in runs]
        share = "" if part == PROCESS else f"{100 * statistics.median(times) / middle:.0f} %"
        rows.append(
            (
                part,
                *milliseconds(times),
                f"{1000 * max(times):.1f}",
                share,
                str(counts.get(part, "")),
            )
        )
    whole = [sum(parts.values()) for parts in runs]
    for name, times in (("the runner's own", own), ("all of it", whole)):
        rows.append((name, *milliseconds(times), f"{1000 * max(times):.1f}", "", ""))
    print_table((kind, "median ms", "least ms", "most ms", "share", "calls"), rows)
    verdict = "held" if 1000 * middle < TARGET_MS else "missed"
    print(f"target of {TARGET_MS:.0f} ms for the runner's own part: {verdict}\n")


def _processes(repeat: int) -> None:
    """Print what a process costs in the model's environment, doing nothing."""
    environment = build.find(_step("train").model, open_state())
    if environment is None:
        raise SystemExit("the model has no environment")
    commands = {
        "python -c pass": [environment.python, "-c", "pass"],
        "python -I -S -c pass": [environment.python, "-I", "-S", "-c", "pass"],
        "/bin/true": ["true"],
    }
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(repeat):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, check=True)
            times[name].append(time.perf_counter() - began)
    rows = [(n, *milliseconds(all_of), f"{1000 * max(all_of):.1f}") for n, all_of in times.items()]
    print_table(("processes", "median ms", "least ms", "most ms"), rows)


if __name__ == "__main__":
    main()

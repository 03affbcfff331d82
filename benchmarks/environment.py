"""What it costs to see that the environments of N models are there and up to date.

    python benchmarks/environment.py --models 1000

Looked at are models without requirements, and models with a lock of some twenty packages (made
once, so the package index is asked for it).  Beside it, what `./bootstrap` costs in front of a
command when there is nothing for it to do.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from common import (
    REQUIREMENTS,
    RUNNER,
    Contender,
    milliseconds,
    print_race,
    print_repeat,
    print_table,
    progress,
    write_repository,
)

from tasks import discover
from tasks.environments import build, interpreters, lock_file
from tasks.errors import UserError
from tasks.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.model import Model

TARGET_MS = 1.0
SETTLE_SECONDS = 0.1  # a digest taken in the tick of the write is not believed in the next run
STATE = "build/state.db"

Result = TypeVar("Result")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=int, default=1000, help="default: 1000")
    parser.add_argument("--rounds", type=int, default=10, help="default: 10")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="environment-") as folder:
        os.environ["MODEL_CACHE"] = f"{folder}/cache"
        subjects = [Subject("no requirements", Path(folder, "without"), options.models, "")]
        try:
            subjects.append(Subject("locked", Path(folder, "with"), options.models, REQUIREMENTS))
        except UserError as error:
            print(f"no models with a lock: {error}\n", file=sys.stderr)
        for number in range(options.rounds):
            progress(f"round {number + 1} of {options.rounds}")
            for subject in subjects:
                subject.measure()
        progress("")
        _print(subjects, options.models)
        _bootstrap(Path(folder), 5 * options.rounds)
        os.chdir("/")
    print_repeat()


class Subject:
    """A repository of models whose environments are there, and the times measured on it."""

    def __init__(self, name: str, folder: Path, models: int, requirements: str) -> None:
        """Write the models, and lock and build what they need once for all of them."""
        self.name = name
        self.folder = folder
        self.times: dict[str, list[float]] = {}
        write_repository(folder, models)
        os.chdir(folder)
        if requirements:
            for modules in folder.glob("model_definitions/*/model_modules"):
                (modules / "requirements.txt").write_text(requirements, encoding="utf-8")
        state = State(STATE)
        first, *others = discover.discover(state.files)
        progress(f"{name}: making the environment")
        build.ensure(first, state, progress)
        for model in others if requirements else ():
            shutil.copyfile(lock_file.lock_path(first), lock_file.lock_path(model))
        time.sleep(SETTLE_SECONDS)
        _look([first, *others], state)
        state.save({})

    def measure(self) -> None:
        """Look at every environment with a state as a new process has it, then once more."""
        os.chdir(self.folder)
        state = State(STATE)
        models = self._timed("discover the models", lambda: discover.discover(state.files))
        self._timed("see the interpreters", lambda: interpreters.installed(state))
        self._timed("find the environments", lambda: _look(models, state))
        self._timed("find them again", lambda: _look(models, state))

    def _timed(self, name: str, function: Callable[[], Result]) -> Result:
        began = time.perf_counter()
        result = function()
        self.times.setdefault(name, []).append(time.perf_counter() - began)
        return result


def _look(models: Sequence[Model], state: State) -> list[Model]:
    """Find every model's environment; end the benchmark where one is not there."""
    for model in models:
        environment = build.find(model, state)
        if environment is None or not environment.built:
            sys.exit(f"model {model.name} has no environment")
    return list(models)


def _print(subjects: Sequence[Subject], models: int) -> None:
    rows = []
    for subject in subjects:
        for name, times in subject.times.items():
            each = 1000 * statistics.median(times) / models
            verdict = ""
            if name.startswith("find"):
                verdict = "held" if each < TARGET_MS else "missed"
            rows.append((f"{subject.name}: {name}", *milliseconds(times), f"{each:.3f}", verdict))
    heads = (f"{models} models", "median ms", "least ms", "ms a model", f"< {TARGET_MS:.0f} ms")
    print_table(heads, rows)


def _bootstrap(folder: Path, rounds: int) -> None:
    """Compare a command with and without `./bootstrap` in front of it, once that has run."""
    if not (RUNNER / ".venv").exists():
        print("no .venv in this checkout: `./bootstrap true` makes one, and is then compared\n")
        return
    contenders = [
        Contender("true", ["true"], folder),
        Contender("./bootstrap true", [str(RUNNER / "bootstrap"), "true"], folder),
        Contender("python -c pass", [sys.executable, "-c", "pass"], folder),
    ]
    print_race("bootstrap", contenders, rounds)


if __name__ == "__main__":
    main()
